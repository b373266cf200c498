"""A measured source whose measurements arrive at odd moments: which of them is read at which evaluation, and counts.

An evaluation has two places to read: now, and half an interval ago. It takes the earlier one where it is the direct
successor of the last reading, and reading now would skip it. What was read in the last three evaluations is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from catalog.model import Age, Gauge, GaugeRatio, MetricCatalogEntry
from rules.derive import Clock
from rules.promql import number
from rules.rigs import STALE, Played, Point, aggregated, close

_Places = tuple[float | None, float | None]

_GONE: _Places = (None, None)
PLACES: tuple[_Places, ...] = (
    (None, 0), (0, 1), (1, 2),
    # After two evaluations without any, the last is still known, and its successor is read.
    _GONE, _GONE, (3, 5), (5, 6),
    # After four it is not.
    _GONE, _GONE, _GONE, _GONE, (7, 11), (11, 12),
    # Exactly an interval and a half is no direct successor; three quarters of one is not enough to skip, all of one is.
    (13.5, 14.5), (15, 15.75), (16.5, 17.5), (17.5, 18),
    # The same measurement, scraped again: known after two evaluations without it, forgotten after three.
    (18, 18), _GONE, _GONE, (18, 18), _GONE, _GONE, _GONE, (18, 18), _GONE,
)  # fmt: skip
"""At each evaluation the time of the measurement that stood there half an interval ago, and that stands there now."""


def places(metric: MetricCatalogEntry, clock: Clock, good: float, bad: float) -> Played | None:
    """A life whose measurements are good and bad by turns; None for a metric of counters, which are not measured."""
    derive = metric.derive
    if not isinstance(derive, Gauge | GaugeRatio | Age):
        return None
    steps = max(1, round(clock.interval / clock.scrape))
    times = sorted({time for pair in PLACES for time in pair if time is not None})
    values = {time: (good, bad)[at % 2] for at, time in enumerate(times)}
    played = Played()
    since: dict[float, float] = {}
    stamps = {time: time * clock.interval for time in times}
    played.put(f'grace_sample_timestamp_seconds{{metric_id="{metric.id}"}}', _points(stamps, steps))
    match derive:
        case Gauge():
            played.put(derive.series, _points(values, steps))
            if derive.present:
                played.put(derive.present, _points(dict.fromkeys(times, 20.0), steps))
        case GaugeRatio():
            played.put(derive.numerator, _points({time: value * 10000 for time, value in values.items()}, steps))
            played.put(derive.denominator, _points(dict.fromkeys(times, 10000.0), steps))
        case Age():
            since = {time: float(number(stamps[time] - value)) for time, value in values.items()}
            played.put(derive.timestamp, _points(since, steps))
            played.put(derive.present, _points(dict.fromkeys(times, 3.0), steps))
    for at, time in enumerate(_taken()):
        if time is None:
            played.samples.append(None)
        elif isinstance(derive, Age):
            played.samples.append(close(max(0.0, at * clock.interval - since[time])))
        else:
            played.samples.append(close(values[time]))
    played.windows = aggregated(metric, clock, played.samples)
    played.present = [now is not None for _, now in PLACES]
    return played


def _taken() -> list[float | None]:
    """The measurement that each evaluation counts."""
    reads: list[float | None] = []
    taken: list[float | None] = []
    for before, now in PLACES:
        last = next((read for read in reversed(reads[-3:]) if read is not None), None)
        earlier = (
            before is not None
            and now is not None
            and last is not None
            and last < before < last + 1.5
            and now - before > 0.75
        )
        reads.append(before if earlier else now)
        taken.append(None if reads[-1] == last else reads[-1])
    return taken


def _points(values: dict[float, float], steps: int) -> list[Point]:
    """What is scraped of each measurement while it stands there."""
    seen: list[float | None] = []
    for before, now in PLACES:
        seen += [*[before] * (steps - 1), now] if seen else [now]
    points: list[Point] = [None if time is None else values[time] for time in seen]
    return _marked(points)


def _marked(points: Sequence[Point]) -> list[Point]:
    return [*points[:1], *(STALE if this is None is not last else this for last, this in pairwise(points))]
