"""`docs/how-to/add-a-driver.md`, followed to the letter: what it adds passes the contract suite."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.conftest import ROOT
from tests.docs.recipe import tried


def test_the_page_adds_a_driver_that_keeps_every_promise(tmp_path: Path) -> None:
    said = tried(ROOT / "docs" / "how-to" / "add-a-driver.md", tmp_path)
    passed = re.search(r"(\d+) passed", said)
    assert passed, said
    assert int(passed[1]) >= 14
    assert "skipped" not in said
