"""Durations, numbers and selectors as Prometheus reads them."""

from __future__ import annotations

from decimal import Decimal

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model import Bands, Edges, Unit, parse_duration
from rules.bands import band
from rules.promql import duration, number, selector, split


@given(st.integers(min_value=1, max_value=10**9))
def test_durations_read_back(milliseconds: int) -> None:
    assert round(parse_duration(duration(milliseconds / 1000)) * 1000) == milliseconds


def test_no_duration_is_nothing() -> None:
    assert duration(76.5) == "1m16s500ms"
    with pytest.raises(ValueError, match="no duration"):
        duration(0)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=9))
def test_numbers_are_plain_decimals(value: Decimal) -> None:
    assert "e" not in number(value).lower()
    assert Decimal(number(value)) == value


def test_edges_are_converted_as_decimals() -> None:
    bands = Bands(high=Edges(warning=Decimal(350), critical=Decimal(500)))
    assert band("v", bands, Unit.MILLISECONDS) == "(v >= bool 0.35)\n+ (v > bool 0.5)"
    both = Bands(
        high=Edges(warning=Decimal(85), critical=Decimal(90), warning_owns_edge=False),
        low=Edges(warning=Decimal(70), critical=Decimal(60), warning_owns_edge=False),
    )
    assert band("v", both, Unit.PERCENT) == "(v > bool 0.85)\n+ (v > bool 0.9)\n+ (v < bool 0.7)\n+ (v < bool 0.6)"


def test_selectors_keep_their_matchers() -> None:
    assert split('a_total{code=~"5..",}') == ("a_total", 'code=~"5.."')
    assert selector('a{b="c"}', suffix="_bucket") == 'a_bucket{b="c"}'
    promql_parser.parse(selector("a", suffix="_count"))
    with pytest.raises(ValueError, match="not a series"):
        split("rate(a[5m])")
