"""From raw series to one value per measurement: for every kind its sample, its window, its signs of life.

What is a measurement differs by kind. A gauge is collected in the background, so a reading counts once, however often
it is scraped. Counters and histograms are read at every scrape and know by themselves what happened since.
"""

from __future__ import annotations

from dataclasses import dataclass

from catalog.model import (
    Age,
    Aggregate,
    Empty,
    EventRatio,
    Events,
    Gauge,
    GaugeRatio,
    MetricCatalogEntry,
    Quantile,
    Rate,
)
from rules.promql import LOOK, duration, fresh, increase, indent, number, rounded, selector

SAMPLE = "resource:grace_value:sample"
READ = "job_instance_resource:grace_measurement:read"
TAKEN = "job_instance_resource:grace_measurement:taken"
PRESENT = "resource:grace_source:present"
RETURNED = "resource:grace_source:returned"


@dataclass(frozen=True)
class Record:
    """One recording rule: its name, its expression, and labels beyond the metric's own."""

    name: str
    expr: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Derived:
    """What a group begins with, in the order in which it must be evaluated."""

    present: str
    before: tuple[Record, ...]
    sample: str
    window: str | None
    """The derivation taken over the window, rounded; None where the window is an aggregate of the samples."""


@dataclass(frozen=True)
class Clock:
    """The spans of one metric, in seconds, after scaling. `memory` is how long a source that is gone stays known."""

    interval: float
    window: float
    scrape: float
    memory: float

    @property
    def samples(self) -> int:
        """How many measurements a full window holds."""
        return max(1, round(self.window / self.interval))

    def half(self) -> str:
        """A range that holds just what this evaluation wrote."""
        return duration(self.interval / 2)

    def last(self, count: int) -> str:
        """A range that holds at most the last `count` evaluations, on any Prometheus: it ends off their grid."""
        return duration((count - 0.5) * self.interval)

    def over_window(self) -> str:
        return duration(self.window - self.interval / 2)

    def rate_range(self, span: float) -> str:
        """A range for rate(): at least four scrapes at any phase, and no boundary that one of them can sit on."""
        return duration(self.rate_seconds(span))

    def rate_seconds(self, span: float) -> float:
        return max(span, 3 * self.scrape) + 1.05 * self.scrape


def derived(metric: MetricCatalogEntry, clock: Clock) -> Derived:
    """The PromQL of the metric's derivation."""
    source = _Source(metric, clock)
    match metric.derive:
        case Gauge() as derive:
            return source.gauge(derive)
        case GaugeRatio() as derive:
            return source.gauge_ratio(derive)
        case Age() as derive:
            return source.age(derive)
        case Quantile() as derive:
            return source.quantile(derive)
        case Rate() as derive:
            return source.rate(derive)
        case Events() as derive:
            return source.events(derive)
        case EventRatio() as derive:
            return source.event_ratio(derive)


class _Source:
    def __init__(self, metric: MetricCatalogEntry, clock: Clock) -> None:
        self.metric = metric
        self.clock = clock
        self.own = f'{{metric_id="{metric.id}"}}'
        self.stamp = f"grace_sample_timestamp_seconds{self.own}"

    # Gauges: a measurement is one that was not read before.

    def gauge(self, derive: Gauge) -> Derived:
        series = selector(derive.series)
        sample = f"max by (resource) (\n{indent(self.reading(series))}\n)"
        alive = series
        if derive.present and self.metric.empty is not Empty.ABSENT:
            alive = selector(derive.present)
        if derive.present and self.metric.empty is Empty.ZERO:
            sample += f"\nor max by (resource) (\n{indent(self.reading(alive))}\n) * 0"
        return self._measured(sample, self._present(f"{self._fresh(alive)} > -Inf < +Inf"))

    def gauge_ratio(self, derive: GaugeRatio) -> Derived:
        over, under = (
            f"sum by (resource) (\n{indent(self.reading(selector(each)))}\n)"
            for each in (derive.numerator, derive.denominator)
        )
        sample = f"{over}\n/\n{under}"
        lives = self._fresh(selector(derive.denominator))
        if self.metric.empty is Empty.ZERO:
            sample = f"{sample} > -Inf < +Inf\nor {under} * 0"
        if self.metric.empty is Empty.ABSENT:
            # 0 workers is nobody there, and "absent" says that this is a fault of its own.
            lives += " > 0"
        return self._measured(sample, self._present(lives))

    def age(self, derive: Age) -> Derived:
        stamp, present = self.reading(selector(derive.timestamp)), self.reading(selector(derive.present))
        sample = (
            f"max by (resource) (clamp_min(time() - (\n{indent(stamp)}\n), 0))\n"
            f"or max by (resource) (\n{indent(present)}\n) * 0"
        )
        return self._measured(sample, self._present(self._fresh(selector(derive.present))))

    def _measured(self, sample: str, present: str) -> Derived:
        same = f"last_over_time({SAMPLE}{self.own}[{self.clock.half()}])"
        window = same if self.metric.aggregate is Aggregate.SAME else None
        return Derived(present, (Record(READ, self._read()), Record(TAKEN, self._taken())), sample, window)

    def _read(self) -> str:
        """When the measurement was taken that this evaluation reads.

        A collector whose moment nearly coincides with ours would be seen twice, then not at all, by chance. So there
        are two places to read: now, and half an interval ago. The earlier one is taken where it is the direct
        successor of the last and reading now would skip it; that settles on whichever place is clear of the jitter.
        """
        interval = self.clock.interval
        now = f"max by (job, instance, resource) ({self.stamp})"
        before = f"max by (job, instance, resource) ({self.stamp} offset {self.clock.half()})"
        last = f"max by (job, instance, resource) (last_over_time({READ}{self.own}[{self.clock.last(4)}]))"
        return (
            "(\n"
            f"  {before} > {last}\n"
            "  and\n"
            f"  {before} < {last} + {number(round(1.5 * interval, 3))}\n"
            "  and\n"
            f"  {now} - {before} > {number(round(0.75 * interval, 3))}\n"
            ")\n"
            "or\n"
            f"{now}"
        )

    def _taken(self) -> str:
        """The same, where no evaluation read that measurement before: a source that hangs is not measured again."""
        read = f"last_over_time({READ}{self.own}[{self.clock.half()}])"
        last = f"last_over_time({READ}{self.own}[{duration(3 * self.clock.interval)}] offset {self.clock.half()})"
        return f"{read}\nunless\n{read} == {last}"

    def reading(self, series: str) -> str:
        """The series as it was at the measurement that this evaluation takes; without timestamps, as it is."""
        clock, match = self.clock, "on (job, instance, resource)"
        taken = f"last_over_time({TAKEN}{self.own}[{clock.half()}])"
        now = self._fresh(series)
        before = fresh(series, clock.scrape, offset=clock.interval / 2)
        return (
            f"({now} and {match} ({self.stamp} == {match} {taken}))\n"
            "or\n"
            f"({before} and {match} ({self.stamp} offset {clock.half()} == {match} {taken}))\n"
            "or\n"
            f"({now} unless on (resource) {self.stamp})"
        )

    # Counters and histograms: read at every scrape.

    def quantile(self, derive: Quantile) -> Derived:
        bucket, count = (selector(derive.histogram, suffix=suffix) for suffix in ("_bucket", "_count"))

        def over(span: float) -> str:
            rate = f"rate({bucket}[{self.clock.rate_range(span)}])"
            return f"histogram_quantile({number(derive.quantile)}, sum by (resource, le) ({rate}))"

        same = rounded(over(self.clock.window)) if self.metric.aggregate is Aggregate.SAME else None
        return Derived(self._counted(count), (), over(self.clock.interval), same)

    def rate(self, derive: Rate) -> Derived:
        counter = selector(derive.counter)

        def over(span: float) -> str:
            total = f"sum by (resource) (rate({counter}[{self.clock.rate_range(span)}]))"
            if derive.per is None:
                return f"{total}{self._or_nothing(counter)}"
            each = f"sum by (resource) ({self._fresh(selector(derive.per))})"
            none = f"({each} unless on (resource) {self._known(counter)}) * 0"
            zero = f"\n  or\n  {none}" if self.metric.empty is Empty.ZERO else ""
            return f"(\n  {total}{zero}\n)\n/ {each}"

        present = self._counted(counter)
        if derive.per is not None:
            present = self._present(self._fresh(selector(derive.per)))
        same = rounded(over(self.clock.window)) if self.metric.aggregate is Aggregate.SAME else None
        return Derived(present, (), over(self.clock.interval), same)

    def events(self, derive: Events) -> Derived:
        counter = selector(derive.counter)
        sample = self._increase(counter, self.clock.interval) + self._or_nothing(counter)
        same = self._over_window(counter, SAMPLE) if self.metric.aggregate is Aggregate.SAME else None
        return Derived(self._counted(counter), (self._returned(),), sample, same)

    def event_ratio(self, derive: EventRatio) -> Derived:
        clock = self.clock
        parts = {"numerator": selector(derive.numerator), "denominator": selector(derive.denominator)}
        records = [self._returned()]
        for name, counter in parts.items():
            sample = f"resource:grace_{name}:sample"
            records.append(Record(sample, self._increase(counter, clock.interval)))
            records.append(Record(f"resource:grace_{name}:window", self._over_window(counter, sample)))

        def recorded(name: str, over: str) -> str:
            return f"last_over_time(resource:grace_{name}:{over}{self.own}[{clock.half()}])"

        def ratio(over: str) -> str:
            every = recorded("denominator", over)
            return (
                f"({recorded('numerator', over)} or {every} * 0)\n/ {every}\n"
                f"and {recorded('denominator', 'window')} >= {derive.at_least}"
            )

        same = rounded(ratio("window")) if self.metric.aggregate is Aggregate.SAME else None
        return Derived(self._counted(parts["denominator"]), tuple(records), ratio("sample"), same)

    def _increase(self, counter: str, span: float) -> str:
        inside = duration(span - self.clock.interval / 2)
        return increase(counter, span, self.clock.scrape, f"last_over_time({RETURNED}{self.own}[{inside}])")

    def _over_window(self, counter: str, sample: str) -> str:
        """The increase over the window; while the counter has not been known for so long, what was seen of it."""
        seen = f"sum by (resource) (sum_over_time({sample}{self.own}[{self.clock.over_window()}]))"
        return f"{self._increase(counter, self.clock.window)}\nor {seen}"

    def _or_nothing(self, counter: str) -> str:
        """0 for a counter that does not exist although its source lives, where the catalog says that nothing is 0."""
        if self.metric.empty is not Empty.ZERO:
            return ""
        present = f"last_over_time({PRESENT}{self.own}[{self.clock.half()}])"
        return f"\nor max by (resource) ({present} unless on (resource) {self._known(counter)}) * 0"

    def _known(self, counter: str) -> str:
        return f"last_over_time({counter}[{duration(LOOK * self.clock.scrape)}])"

    def _returned(self) -> Record:
        """A source that is back after a gap. What its counters gained meanwhile happened nobody knows when."""
        clock = self.clock
        present = f"{PRESENT}{self.own}"
        return Record(
            RETURNED,
            f"last_over_time({present}[{clock.half()}])\n"
            f"and present_over_time({present}[{duration(clock.memory)}] offset {clock.half()})\n"
            f"unless last_over_time({present}[{duration(clock.interval)}] offset {clock.half()})",
        )

    def _counted(self, counter: str) -> str:
        """Signs of life of a counter: it is scraped, or its source was measured and held nothing yet."""
        live = self._fresh(counter)
        if self.metric.empty is Empty.ABSENT:
            return self._present(live)
        still = f"{self.stamp} == {self.stamp} offset {duration(2 * self.clock.interval)}"
        return self._present(f"{live} or ({self._fresh(self.stamp)} unless {still})")

    def _present(self, inner: str) -> str:
        return f"group by (resource) ({inner})"

    def _fresh(self, series: str) -> str:
        return fresh(series, self.clock.scrape)
