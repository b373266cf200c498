"""One metric becomes one group: value, window, bands, what is sustained, what is raised, alerts. In that order.

A group sees what it wrote itself in the same evaluation, and nothing older: everything inside reads ranges that hold
one evaluation. One evaluation is one measurement, so the group's interval is the metric's.
"""

from __future__ import annotations

from collections.abc import Iterator

from catalog.model import Aggregate, Band, MetricCatalogEntry, Severity, TimeScale
from rules.bands import band, words
from rules.derive import PRESENT, SAMPLE, Clock, Record, derived
from rules.promql import duration, rounded
from rules.yamltext import Value

MEMORY = 6 * 3600.0
"""Seconds for which a source that is gone stays known, and missed, at full scale."""

OUT_OF_BAND = "GraceMetricOutOfBand"
STALE_ALERT = "GraceMetricStale"

_WINDOW = "resource:grace_value:window"
_BAND = "resource:grace_band:sample"
_IS = "resource:grace_band:is"
_COUNT = "resource:grace_value:window_count"
_BAND_COUNT = "resource:grace_band:window_count"
_BAND_WINDOW = "resource:grace_band:window"
_SUSTAINED = "resource:grace_critical:sustained"
_RAISED = "resource:grace_warning:raised"
SEVERITY = "resource:grace_alert:severity"
_EVALUATED = "resource:grace_source:evaluated"


def clock(metric: MetricCatalogEntry, scale: TimeScale) -> Clock:
    """The metric's spans under `scale`. Raises ValueError where it would be evaluated more often than it is scraped."""
    interval, scrape = scale.interval(metric.interval), scale.scrape_interval()
    if interval < scrape:
        raise ValueError(
            f"{metric.id}: an interval of {duration(interval)} is shorter than the scrape interval of "
            f"{duration(scrape)}; use a larger time scale, or the drill profile"
        )
    window = max(interval * metric.window / metric.interval, interval)
    return Clock(interval, window, scrape, MEMORY * interval / metric.interval)


def group(metric: MetricCatalogEntry, scale: TimeScale, docs: str) -> dict[str, Value]:
    """The metric's group, as it stands in a rule file."""
    return _Group(metric, clock(metric, scale), docs).as_value()


class _Group:
    def __init__(self, metric: MetricCatalogEntry, spans: Clock, docs: str) -> None:
        self.metric = metric
        self.clock = spans
        self.docs = docs

    def as_value(self) -> dict[str, Value]:
        return {
            "name": f"grace.{self.metric.id}",
            "interval": duration(self.clock.interval),
            "rules": [*(self._rule(record) for record in self._records()), *self._alerts()],
        }

    def _records(self) -> Iterator[Record]:
        source = derived(self.metric, self.clock)
        yield Record(_EVALUATED, "vector(1)")
        yield Record(PRESENT, source.present)
        yield from source.before
        yield Record(SAMPLE, rounded(source.sample))
        yield from self._statistics()
        yield Record(_WINDOW, self._aggregate() if source.window is None else source.window)
        yield Record(_BAND, band(self._now(SAMPLE), self.metric.bands, self.metric.unit))
        for each in Band:
            yield Record(_IS, f"{self._now(_BAND)} == bool {each.rank}", (("band", each.value),))
        for each in Band:
            counted = f"sum_over_time({self._series(_IS, band=each.value)}[{self.clock.over_window()}])"
            yield Record(_BAND_COUNT, counted, (("band", each.value),))
        yield Record(_BAND_WINDOW, band(self._now(_WINDOW), self.metric.bands, self.metric.unit))
        yield Record(_SUSTAINED, self._sustained())
        yield Record(_RAISED, self._raised())
        yield Record(SEVERITY, self._severity())

    def _statistics(self) -> Iterator[Record]:
        over = f"{self._series(SAMPLE)}[{self.clock.over_window()}]"
        for each in ("avg", "min", "max", "count"):
            yield Record(f"{_WINDOW}_{each}", f"{each}_over_time({over})")
        yield Record(f"{_WINDOW}_p95", f"quantile_over_time(0.95, {over})")

    def _aggregate(self) -> str:
        over = f"{self._series(SAMPLE)}[{self.clock.over_window()}]"
        if self.metric.aggregate is Aggregate.AVG:
            # A mean of finite values is finite; the maximum of rounded values is one of them.
            return f"round(avg_over_time({over}), 0.000001)"
        return f"max_over_time({over})"

    def _sustained(self) -> str:
        """1 when the last three samples are all critical and none is older than 3.5 intervals: one may be missing."""
        critical = self._series(_IS, band=Band.CRITICAL.value)
        return (
            f"(min_over_time({self._series(_BAND)}[{self.clock.last(3)}]) == bool 2)\n"
            "* ignoring (band)\n"
            f"(sum_over_time({critical}[{self.clock.last(4)}]) >= bool 3)"
        )

    def _raised(self) -> str:
        """The window is in warning; or in critical, with three samples that are not good, though not sustained."""
        least = min(3, self.clock.samples)
        good = self._now(_BAND_COUNT, band=Band.GOOD.value)
        return (
            f"({self._now(_BAND_WINDOW)} == bool 1)\n"
            f"* ({self._now(_COUNT)} >= bool {least})\n"
            f"+ ({self._now(_BAND_WINDOW)} == bool 2)\n"
            f"* ({self._now(_COUNT)} - ignoring (band) {good} >= bool 3)"
        )

    def _severity(self) -> str:
        """The one series that says what fires: `or` takes the first line that has the resource, so one severity only.

        Holds are ranges over recorded series: they outlive a restart, which `keep_firing_for` does not.
        """
        last = self.clock.last
        return (
            "(\n"
            f"    max_over_time({self._series(_SUSTAINED)}[{last(4)}]) > 0\n"
            "  or\n"
            f"      max_over_time({self._series(_SUSTAINED)}[{last(8)}]) > 0\n"
            "    and\n"
            f"      min_over_time({self._series(_BAND)}[{last(4)}]) == 2\n"
            ") * 2\n"
            "or\n"
            "(\n"
            f"    max_over_time({self._series(_RAISED)}[{last(4)}]) > 0\n"
            "  and\n"
            f"    max_over_time({self._series(_BAND)}[{last(3)}]) > 0\n"
            ")\n"
            "or\n"
            f"{self._now(_BAND_WINDOW)} * 0"
        )

    def _alerts(self) -> Iterator[dict[str, Value]]:
        """For Grace one alert per severity; for people the same under another name, which inhibition may silence."""
        for severity, rank in ((Severity.CRITICAL, 2), (Severity.WARNING, 1)):
            firing = f"{self._now(SEVERITY)} == {rank}"
            yield self._alert(self.metric.alertname, firing, severity, {"grace": "true"})
        for severity, rank in ((Severity.CRITICAL, 2), (Severity.WARNING, 1)):
            firing = f"{self._now(SEVERITY)} == {rank}"
            yield self._alert(OUT_OF_BAND, firing, severity, {"audience": "people"})
        yield {
            "alert": STALE_ALERT,
            "expr": self._stale(),
            "labels": self._labels(Severity.WARNING, {"grace": "true"}),
            "annotations": {
                "summary": f"No measurement of {_literal(self.metric.title)} for {{{{ $labels.resource }}}}",
                "description": (
                    f"{self.metric.id} was measured in the last {duration(self.clock.memory)}, "
                    f"but not in the last {self.clock.last(4)}. Grace does nothing about it by itself."
                ),
                "runbook_url": self._runbook(),
            },
        }

    def _alert(self, name: str, expr: str, severity: Severity, labels: dict[str, str]) -> dict[str, Value]:
        where = f"{_literal(self.metric.title)} of {{{{ $labels.resource }}}} is {severity.value}"
        return {
            "alert": name,
            "expr": expr,
            "labels": self._labels(severity, labels),
            "annotations": {
                "summary": f"{where} ({self._beyond(severity)})",
                "description": _literal(self.metric.description or self.metric.title),
                "runbook_url": self._runbook(),
            },
        }

    def _stale(self) -> str:
        """The source was there and is not any more, while this group was evaluated all along."""
        present, last = self._series(PRESENT), self.clock.last(4)
        return (
            f"present_over_time({present}[{duration(self.clock.memory)}])\n"
            "unless\n"
            f"present_over_time({present}[{last}])\n"
            "and on (metric_id)\n"
            f"count_over_time({self._series(_EVALUATED)}[{last}]) >= 3"
        )

    def _beyond(self, severity: Severity) -> str:
        sides = (("high", self.metric.bands.high), ("low", self.metric.bands.low))
        label = _literal(self.metric.unit_label)
        return " or ".join(words(edges, side, severity.value, label) for side, edges in sides if edges is not None)

    def _runbook(self) -> str:
        return f"{self.docs}/reference/metrics.md#{self.metric.id.replace('.', '').lower()}"

    def _labels(self, severity: Severity, more: dict[str, str]) -> dict[str, Value]:
        # metric_id is literal although the series carries it: the linter compares static labels only.
        return {
            "severity": severity.value,
            "metric_id": self.metric.id,
            "category": self.metric.category.value,
            **more,
        }

    def _rule(self, record: Record) -> dict[str, Value]:
        labels = {"metric_id": self.metric.id, "category": self.metric.category.value, **dict(record.labels)}
        return {"record": record.name, "expr": record.expr, "labels": labels}

    def _series(self, name: str, **labels: str) -> str:
        matchers = ",".join(f'{key}="{value}"' for key, value in {"metric_id": self.metric.id, **labels}.items())
        return f"{name}{{{matchers}}}"

    def _now(self, name: str, **labels: str) -> str:
        return f"last_over_time({self._series(name, **labels)}[{self.clock.half()}])"


def _literal(text: str) -> str:
    """Text that Prometheus' template engine leaves as it is."""
    return text.replace("{{", '{{ "{{" }}')
