"""How dashboards read recorded series, at any time scale.

A recorded series is written once in its metric's interval, so a bare selector would show a value for as long as
Prometheus' lookback after its source went away, or lose it between two evaluations. Readers look back one and a half
intervals. What an interval is, the running Prometheus says itself (a hidden variable asks it for the groups' interval),
so that one set of dashboards fits full scale and drills; where it does not scrape itself, the catalog's interval holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from catalog.model import MetricCatalogEntry

VALUE = "resource:grace_value:sample"
WINDOW = "resource:grace_value:window"
BAND = "resource:grace_band:sample"
IS = "resource:grace_band:is"
WINDOW_COUNT = "resource:grace_band:window_count"
PRESENT = "resource:grace_source:present"

IDLE = -1
"""What band panels show for a source that lives and has nothing to measure."""


@dataclass(frozen=True)
class Span:
    """The metrics that share an interval, and the dashboard variable that holds one and a half of it."""

    interval: float
    """Seconds, at full scale."""
    metrics: tuple[MetricCatalogEntry, ...]

    @property
    def variable(self) -> str:
        return f"span_{_plain(self.interval)}"

    @property
    def label(self) -> str:
        return f"How long a measurement taken every {_plain(self.interval)} is shown (ms)"

    @property
    def default(self) -> str:
        """Milliseconds, at full scale."""
        return str(round(1500 * self.interval))

    @property
    def query(self) -> str:
        """What the variable is asked from Prometheus: milliseconds."""
        groups = f'prometheus_rule_group_interval_seconds{{rule_group=~".*;grace[.]({ids(self.metrics, dot="[.]")})"}}'
        return f"query_result(scalar(1500 * (max({groups}) or vector({self.interval:g}))))"

    @property
    def range(self) -> str:
        """The range of a selector: `[${span_1m}ms]`."""
        return f"[${{{self.variable}}}ms]"


def spans(metrics: Iterable[MetricCatalogEntry]) -> tuple[Span, ...]:
    """The metrics by interval, shortest first, in the catalog's order within."""
    by_interval: dict[float, list[MetricCatalogEntry]] = {}
    for metric in metrics:
        by_interval.setdefault(metric.interval, []).append(metric)
    return tuple(Span(interval, tuple(by_interval[interval])) for interval in sorted(by_interval))


def span_of(metric: MetricCatalogEntry, known: Sequence[Span]) -> Span:
    """The span among `known` that the metric belongs to."""
    return next(span for span in known if metric in span.metrics)


def ids(metrics: Iterable[MetricCatalogEntry], *, dot: str = "[.]") -> str:
    """A regular expression of the metrics' ids."""
    return "|".join(re.sub(r"\.", dot, metric.id) for metric in metrics)


def latest(selector: str, span: Span) -> str:
    """The newest measurement, gone one and a half intervals after it was taken."""
    return f"last_over_time({selector}{span.range})"


def worst(selector: str, span: Span) -> str:
    """The highest value within a step of the graph, however long the step: zooming out never hides a bad moment."""
    return f"(max_over_time({selector}[$__interval]) or {latest(selector, span)})"


def bands(span: Span, matchers: str) -> str:
    """0 good, 1 warning, 2 critical, -1 idle, of every metric of the span; nothing where there is no data."""
    chosen = f'metric_id=~"{ids(span.metrics)}",{matchers}'
    by = "max by (metric_id, category, resource)"
    return f"{by} {worst(f'{BAND}{{{chosen}}}', span)}\nor\n{by} ({latest(f'{PRESENT}{{{chosen}}}', span)}) * 0 - 1"


def _plain(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s".replace(".", "_")
