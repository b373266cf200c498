"""What is told about metrics: one reading from outside (`MetricEvent`), and a window summed up (`MetricsSnapshot`)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints, model_validator

from catalog.model import Band, Frozen, Id, SeriesName, Unit

Resource = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""What is measured: "api-1", "/var/lib". At most 200 characters, none of them a control character."""


class Trend(StrEnum):
    """Where a window's values go, as its newer half compares with its older one."""

    RISING = "rising"
    FALLING = "falling"
    STEADY = "steady"
    UNKNOWN = "unknown"
    """Too few measurements to tell."""


class MetricEvent(Frozen):
    """One reading of a metric, from any language, for metrics whose source is `events`.

    A gauge takes the value, a counter grows by it, a histogram observes it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "metric_id": "orders.backlog",
                    "value": 17,
                    "unit": "count",
                    "resource": "orders",
                    "observed_at": "2026-01-31T12:00:00Z",
                    "source": "orders-service",
                }
            ]
        }
    )

    metric_id: Id
    value: float
    """In `unit`; a finite number."""
    unit: Unit
    """The metric's own unit, or one that converts into it (ms and seconds, percent and ratio)."""
    resource: Resource
    observed_at: AwareDatetime
    """When it was read, with its time zone: `2026-01-31T12:00:00Z`."""
    source: str = Field(min_length=1, max_length=100)
    """Who says so: a service's name."""
    series: SeriesName | None = None
    """Which of the metric's series it belongs to, where the metric is derived from several."""


class BandSamples(Frozen):
    """How many measurements of a window lie in each band."""

    good: int = Field(default=0, ge=0)
    warning: int = Field(default=0, ge=0)
    critical: int = Field(default=0, ge=0)

    @property
    def total(self) -> int:
        return self.good + self.warning + self.critical


class MetricsSnapshot(Frozen):
    """One metric of one resource over its window, as Prometheus had it: what a plan rests on. Values are in `unit`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "metric_id": "infra.cpu_utilization",
                    "resource": "api-1",
                    "unit": "percent",
                    "taken_at": "2026-01-31T12:00:00Z",
                    "window": 300.0,
                    "count": 3,
                    "min": 86.5,
                    "max": 88.0,
                    "avg": 87.2,
                    "p95": 87.9,
                    "last": 88.0,
                    "samples": {"good": 0, "warning": 0, "critical": 3},
                    "band": "critical",
                    "trend": "rising",
                }
            ]
        }
    )

    metric_id: Id
    resource: Resource
    unit: Unit
    taken_at: AwareDatetime
    window: float = Field(gt=0)
    """Seconds before `taken_at` that it looks back."""
    count: int = Field(ge=0)
    """Distinct measurements in the window; where 0, there are no values."""
    min: float | None = None
    max: float | None = None
    avg: float | None = None
    p95: float | None = None
    last: float | None = None
    samples: BandSamples = BandSamples()
    band: Band | None = None
    """Of the window's aggregate; none where the metric is idle or there is no data."""
    trend: Trend = Trend.UNKNOWN

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.samples.total > self.count:
            raise ValueError("more samples in bands than measurements")
        if None not in (self.min, self.max) and self.min > self.max:  # type: ignore[operator]
            raise ValueError("min is above max")
        return self


def trend(values: list[tuple[datetime, float]], steady_within: float) -> Trend:
    """Where the values go: the mean of the newer half against that of the older, equal within `steady_within`.

    Fewer than four values tell nothing.
    """
    if len(values) < 4:
        return Trend.UNKNOWN
    ordered = [value for _, value in sorted(values)]
    half = len(ordered) // 2
    difference = sum(ordered[-half:]) / half - sum(ordered[:half]) / half
    if abs(difference) <= steady_within:
        return Trend.STEADY
    return Trend.RISING if difference > 0 else Trend.FALLING
