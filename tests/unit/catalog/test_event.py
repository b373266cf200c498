from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from catalog.event import MetricEvent, MetricsSnapshot, Trend, trend

EVENT: dict[str, Any] = MetricEvent.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index,call-overload]
SNAPSHOT: dict[str, Any] = MetricsSnapshot.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index,call-overload]


def test_the_examples_are_valid() -> None:
    assert MetricEvent.model_validate(EVENT).value == 17
    assert MetricsSnapshot.model_validate(SNAPSHOT).samples.total == 3


@pytest.mark.parametrize(
    "change",
    [
        {"value": float("nan")},
        {"value": float("inf")},
        {"value": "many"},
        {"unit": "furlongs"},
        {"resource": ""},
        {"resource": "a\nb"},
        {"resource": "x" * 201},
        {"observed_at": "2026-01-31T12:00:00"},
        {"observed_at": None},
        {"metric_id": "Not An Id"},
        {"source": ""},
        {"more": 1},
    ],
)
def test_what_is_no_event(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MetricEvent.model_validate({**EVENT, **change})


@pytest.mark.parametrize(
    "change", [{"min": 90, "max": 80}, {"count": 2}, {"band": "bad"}, {"trend": "up"}, {"window": 0}]
)
def test_what_is_no_snapshot(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MetricsSnapshot.model_validate({**SNAPSHOT, **change})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], Trend.UNKNOWN),
        ([1, 2, 3, 4], Trend.RISING),
        ([4, 3, 2, 1], Trend.FALLING),
        ([2, 2.01, 2, 2.01], Trend.STEADY),
        ([1, 1, 9, 5, 5], Trend.RISING),
    ],
)
def test_trend(values: list[float], expected: Trend) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    timed = [(begin + timedelta(seconds=30 * index), value) for index, value in enumerate(values)]
    assert trend(timed[::-1], steady_within=0.1) is expected
