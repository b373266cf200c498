"""What a collector hands over: families of samples in Prometheus base units, and which metrics they measured."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from catalog.model import Age, Catalog, EventRatio, Events, Gauge, GaugeRatio, MetricCatalogEntry, Quantile, Rate

Labels = tuple[tuple[str, str], ...]
"""Label names and values, sorted by name."""

MAX_LABEL_VALUE = 256
"""Characters of a label value that are kept."""

SAMPLE_TIME = "grace_sample_timestamp_seconds"
"""When a metric was measured on a resource; of several such times the newest counts."""

SERIES_NAME = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")
_HARMFUL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Sample(NamedTuple):
    """One value. `suffix` follows the family's name: `_bucket`, `_sum` or `_count` of a histogram."""

    labels: Labels
    value: float
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """One series name with its samples; a counter's name ends with `_total`."""

    name: str
    kind: Kind
    help: str
    samples: tuple[Sample, ...]


class Measured(NamedTuple):
    """One metric that was measured on one resource, also when there was nothing to see (idle)."""

    metric_id: str
    resource: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One collection of one probe. `dropped` counts series that were refused (too many, not numbers)."""

    families: tuple[Family, ...] = ()
    measured: frozenset[Measured] = field(default_factory=frozenset)
    dropped: int = 0
    times: Mapping[Measured, float] = field(default_factory=dict)
    """When something was measured (epoch seconds), where that is not when it was collected."""


def labels_of(values: Mapping[str, object]) -> Labels:
    """Labels safe to expose: sorted, control characters and lone surrogates replaced, long values cut."""
    return tuple(sorted([(name, clean(value)) for name, value in values.items()]))


def clean(value: object) -> str:
    """A label value that every scraper takes: at most 256 characters, nothing unprintable but newlines."""
    text = str(value)[: MAX_LABEL_VALUE + 1]
    if not (text.isascii() and text.isprintable()):
        text = _HARMFUL.sub("\ufffd", text)
    return text if len(text) <= MAX_LABEL_VALUE else text[: MAX_LABEL_VALUE - 1] + "…"


def gauge(name: str, labels: Labels, value: float | None) -> Family | None:
    """A gauge with one sample; None where there is no value, or none that is a number."""
    return None if value is None or not math.isfinite(value) else family(name, [Sample(labels, value)])


def family(name: str, samples: Iterable[Sample], *, kind: Kind | None = None, help_text: str | None = None) -> Family:
    """A family with the help text Grace has for it; without a kind, `_total` says counter."""
    found = kind or (Kind.COUNTER if name.endswith("_total") else Kind.GAUGE)
    return Family(name, found, HELP.get(name) or help_text or "Measured by a Grace collector.", tuple(samples))


def raw_series(metric: MetricCatalogEntry) -> frozenset[str]:
    """Names of the raw series the metric is derived from, without matchers (a histogram by its base name)."""
    return frozenset(name.partition("{")[0] for name in _written(metric) if name)


def _written(metric: MetricCatalogEntry) -> Iterator[str | None]:
    match metric.derive:
        case Gauge(series=series, present=present):
            yield from (series, present)
        case (
            GaugeRatio(numerator=numerator, denominator=denominator)
            | EventRatio(numerator=numerator, denominator=denominator)
        ):
            yield from (numerator, denominator)
        case Rate(counter=counter, per=per):
            yield from (counter, per)
        case Quantile(histogram=histogram):
            yield histogram
        case Events(counter=counter):
            yield counter
        case Age(timestamp=timestamp, present=present):
            yield from (timestamp, present)


def accumulates(metric: MetricCatalogEntry) -> bool:
    """Whether the metric is derived from counters or a histogram, which want a fresh value at every scrape."""
    return isinstance(metric.derive, Rate | Quantile | Events | EventRatio)


def vocabulary_families(catalog: Catalog) -> tuple[Family, ...]:
    """`grace_threshold` (base units) and `grace_metric_info` of every metric that is on."""
    thresholds, info = [], []
    for metric in catalog.enabled:
        for side, edges in (("high", metric.bands.high), ("low", metric.bands.low)):
            if edges is not None:
                for band, edge in (("warning", edges.warning), ("critical", edges.critical)):
                    labels = labels_of({"metric_id": metric.id, "band": band, "edge": side})
                    thresholds.append(Sample(labels, float(edge * metric.unit.factor)))
        named = {"metric_id": metric.id, "category": metric.category, "unit": metric.unit, "title": metric.title}
        info.append(Sample(labels_of({**named, "enabled": "true"}), 1.0))
    return family("grace_threshold", thresholds), family("grace_metric_info", info)


HELP: Mapping[str, str] = {
    "grace_http_request_duration_seconds": "Time to answer a request, by method and route template.",
    "grace_http_requests_total": "Requests answered, by method, route template and status code.",
    "grace_http_requests_in_progress": "Requests being handled now.",
    "grace_http_workers": "Worker processes alive.",
    "grace_http_busy_seconds_total": "Seconds in which a worker was handling at least one request.",
    "grace_executor_queue_depth": "Tasks that wait for a worker.",
    "grace_executor_oldest_task_timestamp_seconds": "When the oldest waiting task was enqueued; absent if none waits.",
    "grace_executor_workers": "Executor workers alive.",
    "grace_executor_workers_busy": "Executor workers that have a task.",
    "grace_learning_sessions_started_total": "Learning sessions started.",
    "grace_learning_governance_blocks_total": "Learning actions that a rule blocked.",
    "grace_learning_sources_checked_total": "Sources whose verification ended, either way.",
    "grace_learning_sources_verified_total": "Sources that were verified.",
    "grace_learning_sandbox_runs_total": "Sandbox checks that ended, either way.",
    "grace_learning_sandbox_passes_total": "Sandbox checks that passed.",
    "grace_autonomy_verified_runs": "Runs verified by metric in the last 24 hours.",
    "grace_autonomy_plan_success_ratio": "Share of verified runs that healed; absent below ten runs.",
    "grace_autonomy_rollback_ratio": "Share of verified runs that were undone; absent below ten runs.",
    "grace_autonomy_ratio": "Share of verified runs that nobody had to approve; absent below ten runs.",
    "grace_autonomy_approvals_pending": "Plans that wait for a person.",
    "grace_host_cpu_utilization_ratio": "Share of a host's CPU time that was used since the measurement before.",
    "grace_host_memory_utilization_ratio": "Share of a host's memory that is used.",
    "grace_volume_usage_ratio": "Share of a volume that is full.",
    "grace_pod_ready_ratio": "Share of a workload's wanted pods that are ready.",
    SAMPLE_TIME: "When a metric was last measured, also when it was idle.",
    "grace_threshold": "Where a band begins, in base units.",
    "grace_metric_info": "What a metric of the catalog is.",
    "grace_collector_success": "Whether a collector's last collection succeeded.",
    "grace_collector_duration_seconds": "How long a collector's last collection took.",
    "grace_collector_last_success_timestamp_seconds": "When a collector last succeeded.",
    "grace_collector_series_dropped_total": "Series that a collector gave and that were refused.",
}
