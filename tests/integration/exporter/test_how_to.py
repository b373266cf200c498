"""`docs/how-to/add-a-collector.md`, followed to the letter: what it adds measures, and harms nobody when it fails."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.conftest import ROOT
from tests.docs.recipe import tried

PAGE = ROOT / "docs" / "how-to" / "add-a-collector.md"


def test_the_page_adds_a_collector(tmp_path: Path) -> None:
    said = tried(PAGE, tmp_path)
    printed = re.search(r"`(grace_executor_queue_depth[^`]*)`", PAGE.read_text())
    assert printed
    assert f"\n{printed[1]}\n" in said
    assert "1 collector, no fault" in said
    passed = re.search(r"(\d+) passed", said)
    assert passed, said
    assert int(passed[1]) == 6
