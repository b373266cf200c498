"""The README and the tutorial, typed as they stand, on the real thing."""

from __future__ import annotations

import pytest

from tests.docs.conftest import ROOT
from tests.docs.console import Block, Shell, blocks

pytestmark = pytest.mark.acceptance

README, TUTORIAL = ROOT / "README.md", ROOT / "docs" / "tutorial.md"
DRILL = "grace drill cpu"


def commands(page: list[Block]) -> list[tuple[str, list[str]]]:
    return [each for block in page if block.kind == "console" for each in block.commands]


def test_the_tutorial_and_the_readme_are_right(shell: Shell) -> None:
    """The drill that both show is one drill: it is run once, and what the README asks of it is asked after that."""
    assert shell.follow(TUTORIAL) >= 11
    shown = dict(commands(blocks(README)))
    assert shown.pop(DRILL) == dict(commands(blocks(TUTORIAL)))[DRILL]
    assert len(shown) == 2
    for command, expected in shown.items():
        shell.run(command, expected)
