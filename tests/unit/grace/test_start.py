"""Help and completion answer at once: nothing is imported that only running needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("aiohttp", "pydantic", "sqlalchemy", "structlog", "rich", "nacl", "jsonschema")


@pytest.mark.parametrize("command", ["up", "status", "doctor", "tools"])
def test_help_imports_nothing_heavy(command: str) -> None:
    code = (
        "import sys\nfrom grace.main import main\n"
        f"try: main([{command!r}, '--help'])\n"
        f"except SystemExit: print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
