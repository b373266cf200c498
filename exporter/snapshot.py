"""The last good reading of every probe, and what is exposed of them now.

A reading stays until the next good one, or until it is older than it may be; then it is withdrawn, never frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from exporter.collectors.base import Probe
from exporter.exposition import Body, Format, Rendered, identity, join, render, render_all
from exporter.families import SAMPLE_TIME, Family, Reading, Sample, clean, family, labels_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A reading taken at `at` (epoch seconds), rendered and capped; `dropped` counts the series that were refused."""

    at: float
    families: tuple[Rendered, ...]
    dropped: int


def prepare(reading: Reading, most_series: int, at: float) -> Prepared:
    """The reading as it will be exposed, at most `most_series` of each name. Any thread may do this."""
    rendered = [render(each, most_series) for each in reading.families]
    refused = sum(dropped for _, dropped in rendered)
    hidden = _hidden_resources(reading.families, most_series) if refused else frozenset()
    times = _sample_times(reading, at, hidden)
    families = (*(lines for lines, _ in rendered), *render_all([times] if times.samples else []))
    return Prepared(at, families, reading.dropped + refused)


def _hidden_resources(families: Iterable[Family], most_series: int) -> frozenset[str]:
    """Resources of which nothing is exposed, because of the cap: a time alone would call them idle."""
    shown: set[str] = set()
    refused: set[str] = set()
    for each in families:
        series = list(dict.fromkeys(identity(sample) for sample in each.samples))
        shown.update(dict(labels).get("resource", "") for labels in series[:most_series])
        refused.update(dict(labels).get("resource", "") for labels in series[most_series:])
    return frozenset(refused - shown)


def _sample_times(reading: Reading, at: float, hidden: Collection[str]) -> Family:
    samples = [
        Sample((("metric_id", each.metric_id), ("resource", resource)), reading.times.get(each, at))
        for each in sorted(reading.measured)
        if (resource := clean(each.resource)) not in hidden
    ]
    return family(SAMPLE_TIME, samples)


@dataclass(frozen=True, slots=True)
class Held:
    """A good reading, rendered, and until when it is exposed (epoch seconds)."""

    until: float
    families: tuple[Rendered, ...]


@dataclass(slots=True)
class ProbeState:
    """What is known of one probe."""

    collector: str
    held: Held | None = None
    success: bool | None = None
    """Whether its last collection succeeded; None before the first ended."""
    duration: float = 0.0
    last_success: float | None = None
    dropped: int = 0
    """Series that were refused, since the probe is there."""
    dropping: bool = False
    """Whether its last good reading had such series."""
    reason: str = ""


Key = tuple[str, str]
"""Collector and probe."""


@dataclass(slots=True)
class Snapshot:
    """All probes' states. Written by the scheduler, read by scrapes; both on the event loop."""

    clock: Callable[[], float]
    max_series: int
    constant: tuple[Family, ...] = ()
    """Families that never change."""
    states: dict[Key, ProbeState] = field(default_factory=dict)
    _bodies: dict[tuple[Format, frozenset[str] | None], tuple[Body, float]] = field(default_factory=dict)
    _twice: int = 0

    def expect(self, probes: Iterable[tuple[Key, Probe]]) -> None:
        """From now on these probes report; others are forgotten."""
        self.states = {key: self.states.get(key) or ProbeState(key[0]) for key, _ in probes}
        self._bodies.clear()

    def succeeded(self, key: Key, probe: Probe, reading: Prepared, duration: float) -> bool:
        """Keep a reading. True if the collection before had failed."""
        state = self.states[key]
        recovered = state.success is False
        state.dropped += reading.dropped
        state.dropping = reading.dropped > 0
        state.held = Held(reading.at + probe.pace.max_age, reading.families)
        state.success, state.duration, state.last_success, state.reason = True, duration, reading.at, ""
        self._bodies.clear()
        return recovered

    def failed(self, key: Key, reason: str, duration: float, dropped: int = 0) -> bool:
        """Note that a collection failed. True if it is news: the one before had not."""
        state = self.states[key]
        news = state.success is not False
        state.dropped += dropped
        state.success, state.duration, state.reason = False, duration, reason
        self._bodies.clear()
        return news

    @property
    def ready(self) -> bool:
        """Whether every probe has been tried and, where there are any, one succeeds."""
        outcomes = [state.success for state in self.states.values()]
        return None not in outcomes and (not outcomes or any(outcomes))

    def body(self, form: Format, only: Collection[str] = ()) -> Body:
        """What is exposed now, of the collectors in `only` where any are named; rendered once until it changes."""
        key = (form, frozenset(only) or None)
        now = self.clock()
        kept = self._bodies.get(key)
        if kept is not None and now < kept[1]:
            return kept[0]
        states = [state for state in self.states.values() if not only or state.collector in only]
        live = [state.held for state in states if state.held is not None and state.held.until > now]
        own = render_all([*(() if only else self.constant), *_collector_families(states)])
        body, twice = join([*(each for held in live for each in held.families), *own], form)
        if twice and not self._twice:
            log.warning("collectors give the same series; the first is kept", series=twice)
        self._twice = twice
        if len(self._bodies) >= MOST_BODIES:
            self._bodies.clear()
        self._bodies[key] = (body, min((held.until for held in live), default=float("inf")))
        return body


MOST_BODIES = 32
"""Answers kept for different questions (`collect[]`) at a time."""


def _collector_families(states: Iterable[ProbeState]) -> list[Family]:
    """The four series that every collector has: its worst probe speaks for it."""
    by_collector: dict[str, list[ProbeState]] = {}
    for state in states:
        by_collector.setdefault(state.collector, []).append(state)
    rows: Mapping[str, list[Sample]] = {
        "grace_collector_success": [],
        "grace_collector_duration_seconds": [],
        "grace_collector_last_success_timestamp_seconds": [],
        "grace_collector_series_dropped_total": [],
    }
    success, duration, last_success, dropped = rows.values()
    for collector, probes in sorted(by_collector.items()):
        labels = labels_of({"collector": collector})
        tried = [probe for probe in probes if probe.success is not None]
        dropped.append(Sample(labels, float(sum(probe.dropped for probe in probes))))
        if tried:
            success.append(Sample(labels, float(all(probe.success for probe in tried))))
            duration.append(Sample(labels, max(probe.duration for probe in tried)))
        succeeded = [probe.last_success for probe in probes]
        if None not in succeeded:
            last_success.append(Sample(labels, min(each for each in succeeded if each is not None)))
    return [family(name, samples) for name, samples in rows.items() if samples]
