"""What people write is plain text on one line, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.api.words import LONGEST, BadRequest, note, plain, reason


@pytest.mark.parametrize("text", ["a\x00b", "\x1b[2J", "bell\x07", "\x7f", "a\x85b", "\x85", "\ud800"])
def test_control_characters_and_half_characters_are_refused_by_name(text: str) -> None:
    for take in (plain, lambda name, text: note(text, name), lambda name, text: reason(text, name)):
        with pytest.raises(BadRequest, match="`why` holds a control character"):
            take("why", text)


def test_lines_become_one_and_long_ones_are_cut() -> None:
    assert note(" seen\r\n\tthe graphs \n") == "seen   the graphs"
    assert note(None) == ""
    assert len(note("x" * 3000)) == LONGEST
    for value in (7, ["a"], {}, False):
        with pytest.raises(BadRequest, match="must be a text"):
            note(value)
    for value in (None, "", " \n"):
        with pytest.raises(BadRequest, match="must say why"):
            reason(value)


@given(st.text(max_size=50))
def test_what_is_taken_can_be_kept_and_shown(text: str) -> None:
    try:
        kept = note(text)
    except BadRequest:
        return
    kept.encode()
    assert "\0" not in kept
    assert len(kept.splitlines()) <= 1
