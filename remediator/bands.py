"""The band of every metric now, as Prometheus has it: one row for each metric and resource."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

from catalog.model import Band, MetricCatalogEntry
from remediator.prometheus import BAND, VALUE, Sample
from remediator.promql import duration

PRESENT = "resource:grace_source:present"
IDLE, NO_DATA = "idle", "no data"
_BANDS = tuple(band.value for band in sorted(Band, key=lambda band: band.rank))


@dataclass(frozen=True, slots=True)
class MetricNow:
    """One metric on one resource. `value` is in the metric's own unit; None when it is idle or there is no data."""

    metric_id: str
    resource: str
    value: float | None
    unit: str
    band: str
    """good, warning, critical, idle or no data."""


def queries(metrics: Iterable[MetricCatalogEntry]) -> list[str]:
    """One query for each interval: a recorded series is read back over one and a half of its intervals."""
    by_interval = groupby(sorted(metrics, key=lambda metric: metric.interval), key=lambda metric: metric.interval)
    return [
        f'last_over_time({{__name__=~"{VALUE}|{BAND}|{PRESENT}",'
        f'metric_id=~"{"|".join(_quoted(metric.id) for metric in same)}"}}[{duration(1.5 * interval)}])'
        for interval, same in by_interval
    ]


def rows(metrics: Sequence[MetricCatalogEntry], samples: Iterable[Sample]) -> tuple[MetricNow, ...]:
    """A row for each metric and resource that Prometheus knows, in the catalog's order; no data where it knows none."""
    known: dict[tuple[str, str], dict[str, float]] = {}
    for sample in samples:
        key = (sample.labels.get("metric_id", ""), sample.labels.get("resource", ""))
        known.setdefault(key, {})[sample.labels.get("__name__", "")] = sample.value
    found = []
    for metric in metrics:
        resources = sorted(resource for metric_id, resource in known if metric_id == metric.id)
        found += [_row(metric, resource, known[metric.id, resource]) for resource in resources]
        if not resources:
            found.append(MetricNow(metric.id, "", None, metric.unit_label, NO_DATA))
    return tuple(found)


def _row(metric: MetricCatalogEntry, resource: str, read: Mapping[str, float]) -> MetricNow:
    if VALUE in read and BAND in read:
        value = float(Decimal(repr(read[VALUE])) / metric.unit.factor)
        return MetricNow(metric.id, resource, value, metric.unit_label, _BANDS[int(read[BAND])])
    return MetricNow(metric.id, resource, None, metric.unit_label, IDLE if PRESENT in read else NO_DATA)


def _quoted(metric_id: str) -> str:
    return metric_id.replace(".", "\\\\.")


def shown_value(metric: MetricNow) -> str:
    """`87.5 %`, `1 240 ms`; a dash where there is no value."""
    if metric.value is None or not math.isfinite(metric.value):
        return "–"
    number = f"{metric.value:.3g}" if abs(metric.value) < 1000 else f"{metric.value:,.0f}".replace(",", " ")
    return number if metric.unit == "ratio" else f"{number} {metric.unit}"
