"""Grafana's words for time."""

from __future__ import annotations

import pytest

from grafana.check.moment import moment, seconds, step, written

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("now", NOW),
        ("now-6h", NOW - 21600),
        ("now-1d/d", NOW - 86400),
        ("now/w", NOW),
        ("now+30m", NOW + 1800),
        ("1699999000000", 1_699_999_000),
        ("2023-11-14T22:13:20Z", NOW),
    ],
)
def test_moment(text: str, when: float) -> None:
    assert moment(text, NOW) == when


@pytest.mark.parametrize("text", ["yesterday", "now-", "now-6", ""])
def test_no_moment(text: str) -> None:
    with pytest.raises(ValueError):
        moment(text, NOW)


@pytest.mark.parametrize(
    ("text", "length"), [("15s", 15), ("1h30m", 5400), ("500ms", 0.5), (">30s", 30), ("", None), ("auto", None)]
)
def test_seconds(text: str, length: float | None) -> None:
    assert seconds(text) == length


def test_steps_are_round_and_never_below_the_least() -> None:
    assert step(3600, 0, 15) == 15
    assert step(86400, 0, 15) == 120
    assert step(7 * 86400, 500, 15) == 1800
    assert step(3600, 0, 90) == 90
    assert (written(15), written(0.5)) == ("15s", "500ms")
