"""The last good reading of every probe, and what is exposed of them now.

A reading stays until the next good one, or until it is older than it may be; then it is withdrawn, never frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from exporter.collectors.base import Probe
from exporter.exposition import Body, Format, Rendered, join, render, render_all
from exporter.families import Family, Measured, Reading, Sample, family, labels_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A reading, rendered and capped; `dropped` counts the series that were refused."""

    families: tuple[Rendered, ...]
    measured: frozenset[Measured]
    dropped: int
    times: Mapping[Measured, float] = field(default_factory=dict)


def prepare(reading: Reading, most_series: int) -> Prepared:
    """The reading as it will be exposed, at most `most_series` of each name. Any thread may do this."""
    rendered = [render(each, most_series) for each in reading.families]
    dropped = reading.dropped + sum(refused for _, refused in rendered)
    return Prepared(tuple(lines for lines, _ in rendered), reading.measured, dropped, reading.times)


@dataclass(frozen=True, slots=True)
class Held:
    """A good reading, rendered. `at` and `until` are epoch seconds: when it was measured, when it is withdrawn."""

    at: float
    until: float
    families: tuple[Rendered, ...]
    measured: frozenset[Measured]
    times: Mapping[Measured, float]


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

    def succeeded(self, key: Key, probe: Probe, reading: Prepared, at: float, duration: float) -> bool:
        """Keep a reading taken at `at`. True if the collection before had failed."""
        state = self.states[key]
        recovered = state.success is False
        state.dropped += reading.dropped
        state.held = Held(at, at + probe.pace.max_age, reading.families, reading.measured, reading.times)
        state.success, state.duration, state.last_success, state.reason = True, duration, at, ""
        self._bodies.clear()
        return recovered

    def failed(self, key: Key, reason: str, duration: float) -> bool:
        """Note that a collection failed. True if it is news: the one before had not."""
        state = self.states[key]
        news = state.success is not False
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
        families = [each for held in live for each in held.families]
        own = [*self._sample_times(live), *_collector_families(states)]
        content, twice = join([*families, *render_all([*(() if only else self.constant), *own])], form)
        if twice and not self._twice:
            log.warning("collectors give the same series; the first is kept", series=twice)
        self._twice = twice
        body = Body(content)
        if len(self._bodies) >= MOST_BODIES:
            self._bodies.clear()
        self._bodies[key] = (body, min((held.until for held in live), default=float("inf")))
        return body

    @staticmethod
    def _sample_times(live: Iterable[Held]) -> list[Family]:
        newest: dict[Measured, float] = {}
        for held in live:
            for measured in held.measured:
                newest[measured] = max(held.times.get(measured, held.at), newest.get(measured, 0.0))
        samples = [Sample(labels_of(measured._asdict()), at) for measured, at in sorted(newest.items())]
        return [family("grace_sample_timestamp_seconds", samples)] if samples else []


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
