"""Variables are replaced as Grafana's Prometheus data source replaces them."""

from __future__ import annotations

from typing import Any

import pytest

from grafana.check.document import Variable
from grafana.check.variables import Value, known_by_itself, replaced, used, value_of


def variable(kind: str = "query", **fields: Any) -> Variable:
    defaults: dict[str, Any] = {
        "query": "",
        "source": None,
        "current": (),
        "options": (),
        "many": False,
        "all_value": "",
        "regex": "",
    }
    return Variable(name="x", type=kind, **{**defaults, **fields})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('up{job=~"$job"}', ["job"]),
        ("rate(x[${window}])", ["window"]),
        ("${job:regex} [[old]] [[old:csv]]", ["job", "old", "old"]),
        ("rate(x[$__rate_interval]) ${__field.labels.a} $__range", []),
        ('label_replace(x, "a", "$1-${2}", "b", "(.*);(.*)")', []),
        ('label_replace(x, "a", "$name", "b", "(?P<name>.*)")', []),
        ('x{path=~"/a$"}', []),
        ("$timeFilter", []),
    ],
)
def test_used(text: str, names: list[str]) -> None:
    assert list(used(text)) == names


@pytest.mark.parametrize(
    ("value", "text", "result"),
    [
        (Value(("a.b",)), '{x="$x"}', '{x="a.b"}'),
        (Value(("a.b",), many=True), '{x=~"$x"}', '{x=~"a\\\\.b"}'),
        (Value(("a", "b|c"), many=True), '{x=~"$x"}', '{x=~"(a|b\\\\|c)"}'),
        (Value((".*",), many=True, raw=True), '{x=~"$x"}', '{x=~".*"}'),
        (Value(('say "hi"',)), '{x="$x"}', '{x="say \\"hi\\""}'),
        (Value(("a", "b"), many=True), "${x:csv} ${x:pipe} ${x:raw}", "a,b a|b a,b"),
        (Value(("a.b",)), "${x:regex}", "a\\\\.b"),
        (Value(("5m",)), "rate(y[$x]) $other", "rate(y[5m]) $other"),
    ],
)
def test_replaced(value: Value, text: str, result: str) -> None:
    assert replaced(text, {"x": value}) == result


def test_what_was_saved_is_taken_only_while_it_is_offered() -> None:
    assert value_of(variable(current=("b",)), ["a", "b"]).chosen == ("b",)
    assert value_of(variable(current=("gone",)), ["a", "b"]).chosen == ("a",)
    assert value_of(variable(current=("gone",)), []).chosen == ()


def test_all_is_every_value_or_the_custom_one() -> None:
    every = variable(many=True, current=("$__all",))
    assert value_of(every, ["a", "b"]).chosen == ("a", "b")
    custom = variable(many=True, current=("$__all",), all_value=".+")
    assert value_of(custom, ["a", "b"]) == Value((".+",), many=True, raw=True)


@pytest.mark.parametrize(
    ("kind", "query", "offered"),
    [
        ("custom", "a, b\\,c", ("a", "b,c")),
        ("custom", "One : 1, Two : 2", ("1", "2")),
        ("interval", "auto,1m,5m", ("1m", "5m")),
        ("constant", "prod", ("prod",)),
        ("query", "label_values(x)", None),
    ],
)
def test_known_by_itself(kind: str, query: str, offered: tuple[str, ...] | None) -> None:
    assert known_by_itself(variable(kind, query=query)) == offered
