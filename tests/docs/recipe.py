"""A how-to page that ends with commands which try what it adds, followed to the letter on a copy of the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.docs.conftest import ROOT

BLOCK = re.compile(r"^(?P<before>[^\n]*)\n\n(?P<fence>`{3,4})(?P<kind>\w+)\n(?P<text>.*?)^(?P=fence)$", re.M | re.S)
COPIED = ("catalog", "exporter", "stack", "remediator", "rules", "demo", "grafana", "grace", "tests", "pyproject.toml")


def tried(page: Path, tmp_path: Path) -> str:
    """What the commands printed with which the page ends, run where all that it says was done.

    AssertionError: the page says what cannot be done, or a command failed (with what it said).
    """
    root = _copied(tmp_path / "grace")
    tools = os.environ.get("GRACE_TOOLS", str(ROOT / ".grace" / "tools"))
    environment = {**os.environ, "GRACE_TOOLS": tools, "PYTHONPATH": str(root)}
    environment.pop("PYTEST_CURRENT_TEST", None)
    said = ""
    for command in _followed(page, root):
        done = subprocess.run(
            command, shell=True, cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        said += done.stdout
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return said


def _copied(root: Path) -> Path:
    root.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    (root / ".venv").symlink_to(ROOT / ".venv")
    return root


def _followed(page: Path, root: Path) -> list[str]:
    """Do what the page says below `root`; the commands it ends with."""
    file = root
    for block in BLOCK.finditer(page.read_text()):
        before, text = block["before"].strip(), block["text"]
        if block["kind"] == "sh":
            return text.splitlines()
        if named := re.fullmatch(r"`([\w/.]+)`:", before):
            file = root / named[1]
            assert not file.exists(), f"{file} is there already"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
            continue
        told = re.fullmatch(r"(?:In `(?P<file>[\w/.]+)`, |and )below `(?P<line>[^`]+)`:", before)
        assert told, f"what is to be done with the block after {before!r}?"
        file = root / told["file"] if told["file"] else file
        written = file.read_text()
        assert written.count(f"{told['line']}\n") == 1, f"{file} has no line {told['line']!r}"
        file.write_text(written.replace(f"{told['line']}\n", f"{told['line']}\n{text}"))
    raise AssertionError("the page ends without trying it")
