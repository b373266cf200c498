"""Values of strangers become PromQL that means exactly them."""

from __future__ import annotations

import ast

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.promql import duration, quoted, selector

HOSTILE = [
    '"} or vector(1) #',
    "a\\",
    "line\nbreak",
    "\r\t\x00\x1f\x7f",
    "`back`",
    "'",
    "{}",
    "ünï",
    "😀",
    "\u2028",
    "\\n",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_stays_one_matcher_of_one_selector(value: str) -> None:
    tree = promql_parser.parse(selector("up", resource=value))
    assert isinstance(tree, promql_parser.VectorSelector)
    assert tree.name == "up"
    assert [(matcher.name, str(matcher.op)) for matcher in tree.matchers.matchers] == [("resource", "MatchOp.Equal")]


@given(st.text())
def test_any_text_parses_as_one_selector(value: str) -> None:
    tree = promql_parser.parse(selector("up", a=value, b=value))
    assert isinstance(tree, promql_parser.VectorSelector)
    assert len(tree.matchers.matchers) == 2


@given(st.text())
def test_the_literal_reads_back_as_the_value(value: str) -> None:
    # Every escape that is used means the same in Python.
    literal = quoted(value)
    assert "\n" not in literal
    assert ast.literal_eval(literal) == value


def test_lone_surrogates_are_replaced() -> None:
    assert quoted("a\ud800b") == '"a�b"'
    assert quoted("\ud83d\ude00") == '"😀"'


@pytest.mark.parametrize("name", ["", "a b", "up{", "1up", "ü", "up\n"])
def test_names_come_from_code(name: str) -> None:
    with pytest.raises(ValueError):
        selector(name)
    with pytest.raises(ValueError):
        selector("up", **{name: "x"})


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "1ms"), (0.5, "500ms"), (285.0004, "4m45s"), (90061.002, "1d1h1m1s2ms")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
