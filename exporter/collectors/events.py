"""Collector `events`: metrics that services tell themselves, by `POST /api/v1/events`, from any language.

A gauge takes the value, a counter grows by it, a histogram observes it. A gauge that is not told again within two
intervals is withdrawn. A counter stays, because where the catalog says that nothing means 0 or idle, silence is just
that; where nothing means a fault (`empty: absent`), silence for two intervals withdraws it, and it goes on from where
it was when it is told again.
"""

from __future__ import annotations

import hmac
import math
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from catalog.config import FilePath
from catalog.document import Where
from catalog.event import MetricEvent
from catalog.fault import did_you_mean, shown
from catalog.model import Catalog, Empty, MetricCatalogEntry
from exporter.blocking import Blocking
from exporter.collectors.base import LEAST_PATIENCE, CollectError, CollectorConfig, Pace, Probe, Setting
from exporter.collectors.event_series import EventSeries, series_by_metric, series_of
from exporter.families import Kind, Labels, Measured, Reading, Sample, family, labels_of

EVERY = 1.0
"""Seconds between two looks at what was told, where the configuration says nothing."""

FUTURE = 30.0
"""Seconds that a sender's clock may be ahead."""

FORGOTTEN_AFTER = 86400.0
"""Seconds without news after which a counter is forgotten, and begins at 0 when it is told again."""

LEAST_TOKEN, LONGEST_TOKEN = 16, 4096
"""Characters of a token."""


class NotTaken(Exception):
    """One event that is refused, in words that its sender can act on."""


class EventsConfig(CollectorConfig):
    collector: Literal["events"]
    """What services tell themselves, by `POST /api/v1/events`."""
    token_file: FilePath
    """Holds the token that senders show, at least 16 characters; a changed file counts at once."""

    def faults(self, catalog: Catalog) -> Iterator[tuple[Where, str]]:
        yield from super().faults(catalog)
        for index, each in enumerate(self.metric_ids):
            metric = catalog.metrics.get(each)
            if metric is None:
                continue
            if metric.source.collector != "events":
                yield ("metric_ids", index), f"the source of {each} is {metric.source.collector}, not events"
                continue
            try:
                series_of(metric)
            except ValueError as error:
                yield ("metric_ids", index), str(error)


@dataclass(slots=True)
class Told:
    """One series of one resource. Times are epoch seconds."""

    buckets: list[int]
    value: float = 0.0
    at: float = -math.inf
    """The newest time it was observed at."""
    shown_until: float = 0.0
    kept_until: float = 0.0


@dataclass(slots=True)
class Standing:
    """What is shown of one series name."""

    kind: Kind
    samples: dict[Labels, list[Sample]] = field(default_factory=dict)


class EventsCollector:
    """One probe over what was told. `admits` and `take` may be called from any thread."""

    def __init__(self, config: EventsConfig, setting: Setting, clock: Callable[[], float] = time.time) -> None:
        self._token_file = config.token_file
        self._token: bytes | None = None
        self._clock = clock
        self._most = setting.max_series
        self._metrics = {each: setting.catalog.metrics[each] for each in setting.wanted(config.metric_ids)}
        self._series = series_by_metric(self._metrics)
        self._told: dict[tuple[str, Labels], dict[str, Told]] = {}
        """By series, by resource."""
        self._dropped = 0
        self._lock = threading.Lock()
        interval = config.interval or EVERY
        pace = Pace(interval, config.timeout or LEAST_PATIENCE, max(2 * interval, LEAST_PATIENCE))
        self.probes: Sequence[Probe] = (Probe("events", pace, Blocking(self._read, config.name)),)

    async def close(self) -> None:
        """Nothing is held."""

    def admits(self, token: str) -> bool:
        """Whether this is the token; never while its file cannot be read."""
        return self._token is not None and hmac.compare_digest(self._token, token.encode(errors="replace"))

    def take(self, event: MetricEvent) -> None:
        """Keep one event. Raises NotTaken."""
        metric = self._metrics.get(event.metric_id)
        if metric is None:
            hint = did_you_mean(event.metric_id, list(self._metrics))
            raise NotTaken(f"metric_id: {shown(event.metric_id)} is not told by events here{hint}")
        series = self._meant(event)
        if event.unit not in series.units:
            raise NotTaken(f"unit: {series.written} is told in {' or '.join(series.units)}, not in {event.unit}")
        value = series.in_base_units(event.value, event.unit)
        at, now = event.observed_at.timestamp(), self._clock()
        _check_time(at, now, _max_age(metric) if series.kind is Kind.GAUGE else metric.window)
        with self._lock:
            told = self._place(series, event.resource)
            _tell(told, series, value, at)
            vanishes = series.kind is Kind.GAUGE or metric.empty is Empty.ABSENT
            told.shown_until = told.at + _max_age(metric) if vanishes else math.inf
            told.kept_until = told.shown_until if series.kind is Kind.GAUGE else now + FORGOTTEN_AFTER

    def _meant(self, event: MetricEvent) -> EventSeries:
        choices = self._series[event.metric_id]
        if event.series is None and len(choices) == 1:
            return choices[0]
        for each in choices:
            if event.series == each.written:
                return each
        raise NotTaken(
            f"series: name one that {event.metric_id} is derived from: {', '.join(s.written for s in choices)}"
        )

    def _place(self, series: EventSeries, resource: str) -> Told:
        by_resource = self._told.setdefault(series.identity, {})
        if resource not in by_resource:
            if len(by_resource) >= self._most:
                self._dropped += 1
                raise NotTaken(f"resource: {series.written} has {self._most} resources, which is the most")
            by_resource[resource] = Told([0] * (len(series.bounds) + 1))
        return by_resource[resource]

    def _read(self) -> Reading:
        """What stands now. Raises CollectError while the token cannot be read, for then nothing can be told."""
        try:
            self._token = read_token(self._token_file)
        except CollectError:
            self._token = None
            raise
        now = self._clock()
        standing: dict[str, Standing] = {}
        times: dict[Measured, float] = {}
        measured: set[Measured] = set()
        with self._lock:
            self._forget(now)
            for metric_id, choices in self._series.items():
                for series in choices:
                    for resource, told in self._told.get(series.identity, {}).items():
                        if told.shown_until <= now:
                            continue
                        labels = labels_of({**dict(series.labels), "resource": resource})
                        rows = standing.setdefault(series.name, Standing(series.kind)).samples
                        rows[labels] = _samples(told, series, labels)
                        which = Measured(metric_id, dict(labels)["resource"])
                        measured.add(which)
                        if series.kind is Kind.GAUGE:
                            times[which] = max(told.at, times.get(which, 0.0))
            dropped, self._dropped = self._dropped, 0
        families = tuple(
            family(name, [sample for rows in each.samples.values() for sample in rows], kind=each.kind)
            for name, each in standing.items()
        )
        return Reading(families, frozenset(measured), dropped, times)

    def _forget(self, now: float) -> None:
        for identity, by_resource in self._told.items():
            self._told[identity] = {name: told for name, told in by_resource.items() if told.kept_until > now}


def _max_age(metric: MetricCatalogEntry) -> float:
    return max(2 * metric.interval, LEAST_PATIENCE)


def _check_time(at: float, now: float, oldest: float) -> None:
    if at > now + FUTURE:
        raise NotTaken(f"observed_at: {at - now:.0f} s ahead of the exporter's clock; at most {FUTURE:g} s is taken")
    if at < now - oldest:
        raise NotTaken(f"observed_at: {now - at:.0f} s old; at most {oldest:g} s is taken")


def _tell(told: Told, series: EventSeries, value: float, at: float) -> None:
    total = told.value + value
    if series.kind is Kind.GAUGE:
        if at < told.at:
            return  # A newer one is known: batches arrive in any order.
        total = value
    elif series.kind is Kind.COUNTER and value < 0:
        raise NotTaken("value: a counter only grows")
    if not math.isfinite(total):
        raise NotTaken("value: too large")
    if series.kind is Kind.HISTOGRAM:
        told.buckets[bisect_left(series.bounds, value)] += 1
    told.value, told.at = total, max(told.at, at)


def _samples(told: Told, series: EventSeries, labels: Labels) -> list[Sample]:
    if series.kind is not Kind.HISTOGRAM:
        return [Sample(labels, told.value)]
    found, count = [], 0
    for bound, more in zip((*series.bounds, math.inf), told.buckets, strict=True):
        count += more
        le = "+Inf" if bound == math.inf else repr(bound)
        found.append(Sample(tuple(sorted((*labels, ("le", le)))), count, "_bucket"))
    return [*found, Sample(labels, count, "_count"), Sample(labels, told.value, "_sum")]


def read_token(path: Path) -> bytes:
    """The token that stands in the file, without white space around it. Raises CollectError; its text holds no part."""
    try:
        with path.open("rb") as file:
            token = file.read(LONGEST_TOKEN + 1).strip()
    except OSError as error:
        raise CollectError(f"{path}: {error.strerror}") from error
    if not LEAST_TOKEN <= len(token) <= LONGEST_TOKEN or not token.isascii() or b" " in token:
        raise CollectError(f"{path} holds no token: {LEAST_TOKEN} ASCII characters at least, without spaces")
    return token
