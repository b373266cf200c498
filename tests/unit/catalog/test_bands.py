from __future__ import annotations

import math
import re
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.load import load_catalog
from catalog.model import Band, Bands
from catalog.notation import parse_bands

METRICS = tuple(load_catalog().metrics.values())


def bands(good: str, warning: str, critical: str) -> Bands:
    return Bands.model_validate({"good": good, "warning": warning, "critical": critical})


def naive(metric_bands: Bands, value: float) -> list[Band]:
    """Every band that a value lies in, written straight from the definition, one test a band."""
    exact = Decimal(repr(value))
    found = []
    sides = [(1, metric_bands.high), (-1, metric_bands.low)]
    bad = [(sign * exact, sign * e.warning, sign * e.critical, e.warning_owns_edge) for sign, e in sides if e]
    critical = any(at > far for at, _, far, _ in bad)
    if critical:
        found.append(Band.CRITICAL)
    if not critical and any((near < at or (owns and at == near)) and at <= far for at, near, far, owns in bad):
        found.append(Band.WARNING)
    if all(at < near or (not owns and at == near) for at, near, _, owns in bad):
        found.append(Band.GOOD)
    return found


@settings(deadline=None)
@given(st.sampled_from(METRICS), st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_float_lies_in_exactly_one_band(metric: object, value: float) -> None:
    metric_bands = metric.bands  # type: ignore[attr-defined]
    assert naive(metric_bands, value) == [metric_bands.of(value)]


@settings(deadline=None)
@given(st.sampled_from(METRICS), st.integers(-3, 3), st.sampled_from(["warning", "critical"]))
def test_also_next_to_the_edges(metric: object, steps: int, which: str) -> None:
    metric_bands = metric.bands  # type: ignore[attr-defined]
    for edges in filter(None, (metric_bands.high, metric_bands.low)):
        value = float(getattr(edges, which))
        for _ in range(abs(steps)):
            value = math.nextafter(value, math.copysign(math.inf, steps))
        # An edge such as 0.03 is the decimal, as the file and Prometheus have it, not the binary number next to it.
        assert metric_bands.of(value) is not None
        if steps == 0:
            good_owns = which == "warning" and not edges.warning_owns_edge
            assert metric_bands.of(value) is (Band.GOOD if good_owns else Band.WARNING)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_no_data(value: float) -> None:
    assert all(metric.bands.of(value) is None for metric in METRICS)


def test_zero_has_no_sign() -> None:
    around = bands("> 0", "-1..0", "< -1")
    assert around.of(0.0) is around.of(-0.0) is Band.WARNING


def test_the_side_of_a_bad_value() -> None:
    two = bands("70..85", "60..70, 85..90", "< 60, > 90")
    assert [two.side(value) for value in (50, 65, 75, 88, 95)] == ["low", "low", None, "high", "high"]
    assert bands("> 85", "70..85", "< 70").side(75) == "low"
    assert bands("< 70", "70..85", "> 85").side(70) == "high"


def test_good_may_own_its_edge() -> None:
    closed = bands("<= 350", "350..500", "> 500")
    assert closed.of(350) is Band.GOOD
    assert closed.of(350.001) is Band.WARNING


@pytest.mark.parametrize(
    ("good", "warning", "critical", "said"),
    [
        ("< 360", "350..500", "> 500", "good and warning overlap between 350 and 360"),
        ("< 350", "350..500", "> 450", "warning and critical overlap between 450 and 500"),
        ("< 350", "360..500", "> 500", "no band holds the values between 350 and 360"),
        ("< 350", "350..500", "> 600", "no band holds the values between 500 and 600"),
        ("> 80", "70..85", "< 70", "good and warning overlap between 80 and 85"),
        ("> 85", "70..85", "< 60", "no band holds the values between 60 and 70"),
        ("70..85", "60..70, 86..90", "< 60, > 90", "no band holds the values between 85 and 86"),
        ("70..85", "60..70", "< 60, > 90", "the high side needs one stretch of warning and one of critical"),
        ("< 350", "350..500", ">= 500", 'write critical as "> 500"'),
        ("< 350", "500..350", "> 500", "runs backwards; write 350..500"),
        ("< 350", "350..500", "500..900", "it has no far end"),
        ("< 350", "350..500", "> 500, < 3", "good has no end on the low side, but critical lies there"),
        ("<= 5", "5..5", "> 5", "warning holds no value"),
        ("< NaN", "350..500", "> 500", "is not a band"),
        ("< .inf", "350..500", "> 500", "is not a band"),
        ("< 1e300", "1e300..2e300", "> 2e300", "out of range"),
        ("< 1.00000000000000001", "1.00000000000000001..2", "> 2", "more than 15 digits"),
        ("< 1, > 3, 4..5", "1..2", "> 2", "at most two stretches"),
        ("< 1, > 3", "1..2", "> 2", "good: exactly one stretch"),
        ("350", "350..500", "> 500", "is not a band"),
        ("", "350..500", "> 500", "is not a band"),
    ],
)
def test_bands_that_do_not_fit(good: str, warning: str, critical: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_bands({"good": good, "warning": warning, "critical": critical})


def test_every_overlap_and_gap_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="overlap") as raised:
        parse_bands({"good": "< 360", "warning": "350..500", "critical": "> 600"})
    assert str(raised.value).count(";") == 1


@settings(deadline=None)
@given(st.lists(st.integers(-(10**6), 10**6), min_size=4, max_size=4, unique=True), st.integers(0, 6))
def test_written_and_read_back(edges: list[int], digits: int) -> None:
    a, b, c, d = (Decimal(edge).scaleb(-digits) for edge in sorted(edges))
    two = bands(f"{b}..{c}", f"{a}..{b}, {c}..{d}", f"< {a}, > {d}")
    assert two.low is not None
    assert two.high is not None
    assert (two.low.critical, two.low.warning, two.high.warning, two.high.critical) == (a, b, c, d)
