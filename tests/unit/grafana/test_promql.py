"""What can be read off a query."""

from __future__ import annotations

import pytest

from grafana.check import promql
from grafana.check.promql import NoPromQL, Use, labels, parse, parse_unresolved, uses, wrong_function
from grafana.check.variables import used


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("rate(a_total[5m]) / b", {Use("a_total", "rate"), Use("b", "")}),
        ("max_over_time(increase(a[1m])[1h:])", {Use("a", "increase")}),
        ('deriv({__name__="a", x="y"}[5m])', {Use("a", "deriv")}),
        ('sum({__name__=~"a|b"})', set()),
        ("vector(1)", set()),
    ],
)
def test_uses(expr: str, found: set[Use]) -> None:
    assert set(uses(parse(expr))) == found


@pytest.mark.parametrize(
    ("use", "kind", "wrong"),
    [
        (Use("a", "rate"), "gauge", True),
        (Use("a", "irate"), "counter", False),
        (Use("a_count", "rate"), "histogram", False),
        (Use("a", "rate"), "histogram", False),
        (Use("a", "delta"), "gauge", False),
        (Use("a_total", "delta"), "counter", True),
        (Use("a_sum", "deriv"), "summary", True),
        # Nobody says what it is: its name does, where it follows the conventions.
        (Use("a_ratio", "rate"), "", True),
        (Use("a_total", "rate"), "unknown", False),
        (Use("a_total", "delta"), "", True),
        (Use("a_count", "delta"), "", False),
        (Use("level:a_ratio:sum", "rate"), "", False),
        (Use("a", "rate"), "", False),
        (Use("a", ""), "gauge", False),
    ],
)
def test_wrong_function(use: Use, kind: str, wrong: bool) -> None:
    assert bool(wrong_function(use, kind)) is wrong


@pytest.mark.parametrize(
    ("expr", "possible"),
    [
        ("up", None),
        ("sum(up)", set()),
        ("sum by (a, b) (up)", {"a", "b"}),
        ("sum without (a) (up)", None),
        ("max without (a) (sum by (a, b) (up))", {"b"}),
        ("topk(3, sum by (a) (up))", {"a"}),
        ("time() - max by (a) (up)", {"a"}),
        ("-(sum by (a) (up)) * 100", {"a"}),
        ("sum by (a) (up) or vector(0)", {"a"}),
        ("sum by (a) (x) and up", {"a"}),
        ("sum(x) * on (i) group_left (v) up", None),
        ('label_replace(sum by (a) (up), "n", "$1", "a", "(.*)")', {"a", "n"}),
        ("histogram_quantile(0.9, sum by (le, a) (rate(b_bucket[5m])))", {"a"}),
        ('count_values("v", up)', None),
        ("clamp_max(sum by (a) (up), 1)", {"a"}),
    ],
)
def test_labels(expr: str, possible: set[str] | None) -> None:
    assert labels(parse(expr)) == possible


@pytest.mark.parametrize("expr", ["rate(x[$w])", "x[${n}m:]", 'x{a=~"$v"}', "topk($n, x)", "$metric", "x > $n"])
def test_unknown_variables_do_not_make_a_query_wrong(expr: str) -> None:
    parse_unresolved(expr, {}, frozenset(used(expr)))


def test_what_no_value_can_make_right_is_wrong() -> None:
    with pytest.raises(NoPromQL):
        parse_unresolved("sum by ($a (x)", {}, frozenset({"a"}))


def test_a_legend_is_rendered() -> None:
    assert promql.legend_labels("{{a}} of {{ b }}") == {"a", "b"}
    assert promql.rendered("{{a}} of {{ b }}", {"a": "1"}) == "1 of "
