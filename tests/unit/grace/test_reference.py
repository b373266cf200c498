"""The reference of the command line is that of the commands as they are."""

from __future__ import annotations

from grace.main import COMMANDS
from grace.reference import PAGE, page


def test_the_committed_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run `python -m grace.reference`"


def test_every_command_and_its_subcommands_stand_in_it() -> None:
    lines = page().splitlines()
    assert [name for name in COMMANDS if f"## grace {name}" not in lines] == []
    assert "### grace approvals approve" in lines
    assert any(line.startswith("- `--reason TEXT`") for line in lines)
