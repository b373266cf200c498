"""What is printed is for people or for programs, and never steers a terminal."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.cli.output import moment, print_fields, print_json, print_table, printable, shown


@given(st.text())
def test_nothing_a_stranger_wrote_moves_a_cursor(text: str) -> None:
    for result in (printable(text), shown(text), shown([text]), shown({text: text})):
        assert result.isprintable()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (0.8, "0.8"),
        (1 / 3, "0.333333"),
        ([], "-"),
        (["a", "b"], "a, b"),
        ({"a": 1, "b": {"c": None}}, "a=1, b=c=-"),
        ("x\ny", "x�y"),
    ],
)
def test_values(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "1970-01-01 00:00:00Z"),
        (1795333819.9, "2026-11-22 07:50:19Z"),
        (None, "-"),
        ("x", "-"),
        (1e300, "1e+300"),
        (math.nan, "nan"),
    ],
)
def test_moments(value: Any, text: str) -> None:
    assert moment(value) == text


def test_tables_are_aligned_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "name"), [("1", "long name"), ("22", None)], empty="nothing")
    assert capsys.readouterr().out == "ID  NAME\n1   long name\n22  -\n"
    print_table(("id",), [], empty="nothing")
    assert capsys.readouterr().out == "nothing\n"


def test_tables_on_a_terminal_show_every_cell_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table(("id", "name"), [("1", "[red]not markup[/red]")], empty="nothing")
    assert "[red]not markup[/red]" in capsys.readouterr().out


def test_fields_leave_out_what_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields([("a", 1), ("long", "x"), ("none", None), ("no", False)])
    assert capsys.readouterr().out == "a     1\nlong  x\nno    no\n"


def test_json_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": "ü\x9b"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"a": "ü\x9b"}
