"""Rigs: raw series that make a metric live a life, and what a person with a pencil would read from them.

One rig per kind of derivation. Nothing here is PromQL: the readings are worked out from the events themselves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from itertools import pairwise

from catalog.model import (
    Age,
    Aggregate,
    Bands,
    Empty,
    EventRatio,
    Events,
    Gauge,
    GaugeRatio,
    MetricCatalogEntry,
    Quantile,
    Rate,
    Unit,
)
from rules.bands import base
from rules.derive import Clock
from rules.promql import split

STALE = "stale"
SECOND = "second"
"""The instance of the other exporter, where two see one resource."""
Point = float | str | None
"""A scraped value, the mark of a series that ended, or no scrape."""

_MATCHER = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*,?')


class NoRig(Exception):
    """No series can be made up that this metric's selectors match; the message says which."""


@dataclass
class Played:
    """One life in raw series: (name, labels) → a point per scrape, and the values that must be read from it."""

    series: dict[tuple[str, tuple[tuple[str, str], ...]], list[Point]] = field(default_factory=dict)
    samples: list[float | None] = field(default_factory=list)
    windows: list[float | None] = field(default_factory=list)
    present: list[bool] = field(default_factory=list)

    def put(self, series: str, points: Iterable[Point], suffix: str = "", **labels: str) -> None:
        name, matchers = split(series)
        every = {**example(matchers), **labels}
        self.series[name + suffix, tuple(sorted(every.items()))] = list(points)


@dataclass(frozen=True)
class Rig:
    """How one metric is made to live: which letters it knows, and what plays them."""

    letters: frozenset[str]
    play: Callable[[str, dict[str, float]], Played]
    reads_gaps: bool = True
    """Whether it is certain what is read while scrapes are lost. A counter is read for four scrapes after it was
    scraped; where its interval is no longer, its lives lose scrapes only where every value is good."""

    def knows(self, life: str) -> bool:
        """Whether this life can be played."""
        return set(life) <= self.letters and (self.reads_gaps or "x" not in life or set(life) <= set("gx"))


def rig(metric: MetricCatalogEntry, clock: Clock) -> Rig:
    """The rig of the metric's kind. Raises NoRig where its selectors cannot be matched by made-up series."""
    steps = max(1, math.floor(clock.interval / clock.scrape + 1e-9))
    certain = clock.interval > 4 * clock.scrape
    match metric.derive:
        case Gauge() as derive:
            return _Gauges(metric, clock, steps).gauge(derive)
        case GaugeRatio() as derive:
            return _Gauges(metric, clock, steps).ratio(derive)
        case Age() as derive:
            return _Gauges(metric, clock, steps).age(derive)
        case Rate() as derive:
            return Rig(_COUNTED, partial(_rate, derive, metric, clock, steps), reads_gaps=False)
        case Quantile() as derive:
            return Rig(_COUNTED, partial(_quantile, derive, metric, clock, steps), reads_gaps=False)
        case Events() as derive:
            play = partial(_events, derive, metric, clock, steps)
            return Rig(_COUNTED | set("rRos"), play, reads_gaps=certain)
        case EventRatio() as derive:
            play = partial(_event_ratio, derive, metric, clock, steps)
            return Rig(_COUNTED | set("rRosOfF"), play, reads_gaps=certain)


_COUNTED = frozenset("gGwWcECnx")
_MEASURED = "gGwWcEChxulLes"
_STAMP = "grace_sample_timestamp_seconds"
_NO_NUMBER = {"N": math.nan, "P": math.inf, "M": -math.inf}


def levels(metric: MetricCatalogEntry) -> dict[str, dict[str, float]]:
    """For each bad side of the metric, the value of every letter, in base units."""
    return {
        side: _levels(metric.bands, side, metric.unit, _step(metric))
        for side, edges in (("high", metric.bands.high), ("low", metric.bands.low))
        if edges is not None
    }


def shared(metric: MetricCatalogEntry, played: Played) -> Played:
    """The same life where two exporters look on: of a sum each sees a half, of a maximum the other sees less."""
    both = Played({}, played.samples, played.windows, played.present)
    for (name, labels), points in played.series.items():
        mine, theirs = points, points
        if isinstance(metric.derive, Age) and name == split(metric.derive.timestamp)[0]:
            theirs = _each(points, lambda value: value + 1e6)
        elif isinstance(metric.derive, Gauge) and name == split(metric.derive.series)[0]:
            theirs = _each(points, lambda value: value / 2)
        elif not isinstance(metric.derive, Age | Gauge) and name != _STAMP:
            mine = theirs = _each(points, lambda value: value / 2)
        both.series[name, labels] = mine
        both.series[name, (*labels, ("instance", SECOND))] = theirs
    return both


def _each(points: Sequence[Point], change: Callable[[float], float]) -> list[Point]:
    return [change(point) if isinstance(point, float | int) else point for point in points]


def _levels(bands: Bands, side: str, unit: Unit, step: Decimal) -> dict[str, float]:
    edges = bands.high if side == "high" else bands.low
    assert edges is not None
    sign = 1 if side == "high" else -1
    warning, critical = base(edges.warning, unit), base(edges.critical, unit)
    if bands.high is not None and bands.low is not None:
        good = base(bands.high.warning + bands.low.warning, unit) / 2
    elif side == "high":
        good = (warning / 2).quantize(step) if warning / 2 > step else Decimal(0)
    else:
        good = warning + max(step, (warning - critical))
        good = min(good, Decimal(1)) if unit in (Unit.PERCENT, Unit.RATIO) and warning < 1 else good
    worst = critical + sign * max(step, abs(critical - warning))
    if side == "low":
        worst = max(worst, critical / 2)
    last_good = warning - sign * step if edges.warning_owns_edge else warning
    first_warning = warning if edges.warning_owns_edge else warning + sign * step
    middle = ((warning + critical) / 2).quantize(step)
    values = {"g": good, "G": last_good, "W": first_warning, "w": middle, "E": critical, "C": critical + sign * step}
    monstrous = critical + sign * 1000 * max(step, abs(critical))
    return {
        letter: float(value)
        for letter, value in {
            **values,
            "c": worst,
            "l": worst,
            "L": worst,
            "e": good,
            "s": good,
            "m": monstrous,
            "r": good,
            "F": worst,
        }.items()
    }


def _step(metric: MetricCatalogEntry) -> Decimal:
    """The smallest difference that the metric's kind of source can show."""
    match metric.derive:
        case Events():
            return Decimal(1)
        case EventRatio():
            return Decimal("0.001")
        case Gauge() if metric.unit is Unit.COUNT:
            return Decimal(1)
        case _:
            return Decimal("0.0001")


def example(matchers: str) -> dict[str, str]:
    """Labels that satisfy the matchers. Raises NoRig where none can be made up."""
    labels: dict[str, str] = {}
    rest = matchers
    while rest.strip():
        found = _MATCHER.match(rest)
        if not found:
            raise NoRig(f"the matchers {{{matchers}}} cannot be read")
        name, operator, value = found[1], found[2], found[3]
        rest = rest[found.end() :]
        if operator == "=":
            labels[name] = value
        elif operator == "=~":
            made_up = re.sub(r"\.[+*]?", "0", value.strip("^$").split("|")[0].strip("()"))
            if not re.fullmatch(value, made_up):
                raise NoRig(f'no value of {name} can be made up that matches "{value}"')
            labels[name] = made_up
    return labels


def close(value: float) -> float | None:
    """As the rules record it: to a millionth; no value for NaN and the infinities."""
    return math.floor(value * 1e6 + 0.5) / 1e6 if math.isfinite(value) else None


class _Gauges:
    """Sources that are measured in the background: each measurement has its time, and counts once."""

    def __init__(self, metric: MetricCatalogEntry, clock: Clock, steps: int) -> None:
        self.metric = metric
        self.clock = clock
        self.steps = steps

    def gauge(self, derive: Gauge) -> Rig:
        letters = _MEASURED + "mNPM" + ("n" if derive.present else "")
        return Rig(frozenset(letters), lambda life, values: self._gauge(derive, life, values))

    def _gauge(self, derive: Gauge, life: str, values: dict[str, float]) -> Played:
        played = Played()
        read = [self._read(letter, values) for letter in life]
        played.put(derive.series, self._points(life, read, lambda _at, _step: values["c"]))
        gone = "NPMn"
        if derive.present:
            played.put(derive.present, self._points(life, [None if letter in "xu" else 20.0 for letter in life]))
            if self.metric.empty is not Empty.ABSENT:
                gone = ""
        nothing = 0.0 if self.metric.empty is Empty.ZERO else None
        return self._told(played, life, read, nothing, gone)

    def ratio(self, derive: GaugeRatio) -> Rig:
        return Rig(frozenset(_MEASURED + "n"), lambda life, values: self._ratio(derive, life, values))

    def _ratio(self, derive: GaugeRatio, life: str, values: dict[str, float]) -> Played:
        whole = 10000.0
        played = Played()
        read = [self._read(letter, values) for letter in life]
        under = [None if letter in "xu" else 0.0 if letter == "n" else whole for letter in life]
        over = [
            None if letter in "xu" else 0.0 if value is None else value * whole
            for letter, value in zip(life, read, strict=True)
        ]
        played.put(derive.numerator, self._points(life, over, lambda _at, _step: values["c"] * whole))
        played.put(derive.denominator, self._points(life, under))
        nothing = 0.0 if self.metric.empty is Empty.ZERO else None
        return self._told(played, life, read, nothing, "n" if self.metric.empty is Empty.ABSENT else "")

    def age(self, derive: Age) -> Rig:
        return Rig(frozenset(_MEASURED + "nm") - set("lLes"), lambda life, values: self._age(derive, life, values))

    def _age(self, derive: Age, life: str, values: dict[str, float]) -> Played:
        played = Played()
        read = [self._read(letter, values) for letter in life]
        since = [None if value is None else close(at * self.clock.interval - value) for at, value in enumerate(read)]
        played.put(derive.timestamp, self._points(life, since))
        played.put(derive.present, self._points(life, [None if letter in "xu" else 3.0 for letter in life]))
        return self._told(played, life, read, 0.0, "")

    def _told(
        self, played: Played, life: str, read: Sequence[float | None], nothing: float | None, gone: str
    ) -> Played:
        """The life as it is read: each measurement once. `gone` are the letters at which the source is not there."""
        interval = self.clock.interval
        taken = [
            None if letter in "xu" else (at + 0.01 * (letter in "lL")) * interval for at, letter in enumerate(life)
        ]
        stamp = f'{_STAMP}{{metric_id="{self.metric.id}"}}'
        played.put(stamp, self._points(life, taken, lambda at, step: at * interval + step * self.clock.scrape))
        readings: list[float | None] = []
        for letter, value in zip(life, read, strict=True):
            if letter in "xuh":
                readings.append(None)
            elif letter == "n":
                readings.append(nothing)
            else:
                readings.append(None if value is None else close(value))
        late = next((at for at, letter in enumerate(life) if letter in "lLs"), None)
        if late is not None:
            # One evaluation finds nothing new; from then on each reads the measurement before, and none is lost.
            readings = [*readings[:late], None, *readings[late:-1]]
        played.samples = readings
        played.windows = _aggregated(self.metric, self.clock, played.samples)
        held = self._unheld(life)
        # The last scrape before an unmarked gap is still young enough at the gap's first evaluation.
        played.present = [
            held[at - 1] not in "xu" + gone if letter == "u" and at else letter not in "xuL" + gone
            for at, letter in enumerate(held)
        ]
        return played

    def _read(self, letter: str, values: dict[str, float]) -> float | None:
        if letter in "xnhu":
            return None
        return _NO_NUMBER.get(letter, values.get(letter))

    def _unheld(self, life: str) -> str:
        """The life with every held reading replaced by the one that it holds."""
        letters = ""
        for letter in life:
            letters += letters[-1:] if letter == "h" else letter
        return letters

    def _points(
        self, life: str, values: Sequence[float | None], between: Callable[[int, int], float] | None = None
    ) -> list[Point]:
        """Each value for as long as it is the last one measured, a mark where the series ends and somebody saw it.

        `between` gives what letter `e` shows at (evaluation, scrape after it).
        """
        points: list[Point] = []
        current: float | None = None
        for at, (letter, value) in enumerate(zip(life, values, strict=True)):
            there = bool(points) and points[-1] is not None and points[-1] != STALE
            first: list[Point] = [current] if letter == "l" else []
            if letter in "Ls":
                first = [STALE if there and letter == "L" else None]
            current = current if letter == "h" else value
            if letter == "e" and between is not None:
                points += [current, *(between(at, step) for step in range(1, self.steps))]
                continue
            points += [*first, *[current] * (self.steps - len(first))]
            if current is None and there and letter != "u":
                points[-self.steps] = STALE
        return points


def unstamped(metric: MetricCatalogEntry, clock: Clock, life: str, played: Played) -> Played:
    """The same life of an exporter that does not say when it measured: what stands there is read as it stands."""
    series = {key: points for key, points in played.series.items() if key[0] != _STAMP}
    samples = list(played.samples)
    older = clock.interval if isinstance(metric.derive, Age) else 0.0
    for at in range(1, len(life)):
        value = samples[at - 1]
        if life[at] == "u" != life[at - 1] and value is not None:
            # The last scrape is still young enough at the gap's first evaluation.
            samples[at] = value + older
    return Played(series, samples, _aggregated(metric, clock, samples), played.present)


def _aggregated(metric: MetricCatalogEntry, clock: Clock, samples: Sequence[float | None]) -> list[float | None]:
    windows: list[float | None] = []
    for at, sample in enumerate(samples):
        seen = [value for value in samples[max(0, at - clock.samples + 1) : at + 1] if value is not None]
        if metric.aggregate is Aggregate.SAME:
            windows.append(sample)
        elif not seen:
            windows.append(None)
        else:
            windows.append(close(math.fsum(seen) / len(seen)) if metric.aggregate is Aggregate.AVG else max(seen))
    return windows


def _marked(points: Sequence[float | None]) -> list[Point]:
    marked: list[Point] = []
    there = False
    for point in points:
        marked.append(STALE if there and point is None else point)
        there = point is not None
    return marked


def _counter(life: str, each: Sequence[float], steps: int, start: float) -> list[Point]:
    """A counter's points: what letter k adds, it adds evenly between evaluation k-1 and evaluation k."""
    points: list[float | None] = [start]
    total = start
    for letter, amount in list(zip(life, each, strict=True))[1:]:
        for step in range(1, steps + 1):
            value = total + amount * step / steps
            points.append(None if letter == "x" else value)
        total += amount
    return _marked(points)


def _counted(life: str) -> list[bool]:
    return [letter != "x" for letter in life]


def _rate(
    derive: Rate, metric: MetricCatalogEntry, clock: Clock, steps: int, life: str, values: dict[str, float]
) -> Played:
    per = 2.0 if derive.per else 1.0
    step = clock.interval / steps
    speeds = [values.get(letter, 0.0) * per for letter in life]
    played = Played(present=_counted(life))
    played.put(derive.counter, _counter(life, [speed * clock.interval for speed in speeds], steps, 1e6))
    if derive.per:
        played.put(derive.per, _counter(life, [0.0] * len(life), steps, per))
    each = [math.nan] + [
        speed * step if letter != "x" else math.nan
        for letter, speed in list(zip(life, speeds, strict=True))[1:]
        for _ in range(steps)
    ]
    for at in range(len(life)):
        value = _rated(each[: at * steps + 1], step, clock.rate_seconds(clock.interval))
        played.samples.append(None if value is None or life[at] == "x" else close(value / per))
    played.windows = _aggregated(metric, clock, played.samples)
    if metric.aggregate is Aggregate.SAME:
        played.windows = [
            None
            if (value := _rated(each[: at * steps + 1], step, clock.rate_seconds(clock.window))) is None
            else close(value / per)
            for at in range(len(life))
        ]
    return played


def _rated(each: Sequence[float], step: float, span: float) -> float | None:
    """The mean speed over the scrapes that a range holds, extended to its beginning as Prometheus does."""
    held = [gain for gain in each[-math.floor(span / step) :] if not math.isnan(gain)]
    if not held:
        return None
    covered = len(held) * step
    before = span - covered
    return math.fsum(held) / covered * (covered + (before if before < 1.1 * step else step / 2)) / span


def _quantile(
    derive: Quantile, metric: MetricCatalogEntry, clock: Clock, steps: int, life: str, values: dict[str, float]
) -> Played:
    bounds = _bounds(metric)
    observed = 1000
    spread = [_spread(values.get(letter), bounds, derive.quantile, observed) for letter in life]
    played = Played(present=_counted(life))
    for index, bound in enumerate([*bounds, math.inf]):
        each = [sum(counts[: index + 1]) * steps if counts else 0.0 for counts in spread]
        label = "+Inf" if math.isinf(bound) else repr(bound)
        played.put(derive.histogram, _counter(life, [float(x) for x in each], steps, 1e6), "_bucket", le=label)
    totals = [float(observed * steps) if counts else 0.0 for counts in spread]
    played.put(derive.histogram, _counter(life, totals, steps, 1e6), "_count")
    scrapes = [counts for counts in spread[1:] for _ in range(steps)]
    step = clock.interval / steps

    def over(at: int, span: float) -> float | None:
        held = scrapes[max(0, at * steps - math.floor(clock.rate_seconds(span) / step)) : at * steps]
        merged = [sum(counts[index] for counts in held if counts) for index in range(len(bounds) + 1)]
        return _quantile_of(merged, bounds, derive.quantile)

    for at in range(len(life)):
        played.samples.append(over(at, clock.interval))
        played.windows.append(over(at, clock.window))
    if metric.aggregate is not Aggregate.SAME:
        played.windows = _aggregated(metric, clock, played.samples)
    return played


def _bounds(metric: MetricCatalogEntry) -> list[float]:
    edges = sorted(
        {
            base(edge, metric.unit)
            for edges in (metric.bands.high, metric.bands.low)
            if edges
            for edge in (edges.warning, edges.critical)
        }
    )
    between = [(low + high) / 2 for low, high in pairwise(edges)]
    return [float(bound) for bound in sorted({edges[0] / 2, *edges, *between, edges[-1] * 2})]


def _spread(value: float | None, bounds: Sequence[float], quantile: float, observed: int) -> list[int]:
    """How many observations fall into each bucket so that the quantile lies at a bound, or in the value's bucket."""
    counts = [0] * (len(bounds) + 1)
    if value is None:
        return []
    if value in bounds:
        index = bounds.index(value)
        counts[index] = round(quantile * observed)
        counts[index + 1] = observed - counts[index]
        return counts
    index = next((at for at, bound in enumerate(bounds) if value <= bound), len(bounds) - 1)
    counts[index] = observed
    return counts


def _quantile_of(counts: Sequence[int], bounds: Sequence[float], quantile: float) -> float | None:
    total = sum(counts)
    if not total:
        return None
    rank, below = quantile * total, 0
    for index, count in enumerate(counts):
        if below + count >= rank and count:
            if index == len(bounds):
                return close(bounds[-1])
            lower = bounds[index - 1] if index else 0.0
            return close(lower + (bounds[index] - lower) * (rank - below) / count)
        below += count
    return None


class CountedLife:
    """Whole events, and what a pencil makes of them: `each` holds what every letter adds.

    A letter's events happen between the evaluation before it and its own.
    """

    def __init__(self, life: str, each: Sequence[float], present: Sequence[bool], born: int = 0) -> None:
        self.life = life
        self.each = each
        self.present = present
        self.born = born
        """The first letter at which the counter is there; it counts from 0 then."""
        self.restarts = [at + (letter == "R") for at, letter in enumerate(life) if letter in "rR"]
        self.totals = [0.0 if born else 1000.0]
        for at, amount in list(enumerate(each))[1:]:
            self.totals.append((0.0 if at in self.restarts else self.totals[-1]) + amount)

    def read(self, at: int) -> float | None:
        """The counter as an evaluation reads it."""
        return None if at < self.born or self.life[at] == "x" else self.totals[at]

    def gained(self, at: int, span: int) -> float | None:
        """How many events the last `span` intervals saw; None where nobody can know."""
        now, start = self.read(at), at - span
        if now is None or start < 0:
            return None
        if any(start < began <= at and (self.life[began - 1] != "R" or start < began - 1) for began in self.restarts):
            return now
        before = self.read(start)
        if before is not None and now >= before:
            return now - before
        return None if any(self._returned(each) for each in range(start + 1, at + 1)) else now

    def over(self, at: int, span: int, samples: Sequence[float | None]) -> float | None:
        """The same over a window; while it has not been known for so long, the sum of what was seen."""
        gained = self.gained(at, span)
        seen = [value for value in samples[max(0, at - span + 1) : at + 1] if value is not None]
        return gained if gained is not None or not seen else math.fsum(seen)

    def points(self, steps: int) -> list[Point]:
        """A point per scrape: what a letter adds, it adds in the middle, or right at its beginning after a restart."""
        points: list[Point] = [None if self.born else self.totals[0]]
        for at in range(1, len(self.life)):
            late = 0 if at in self.restarts else steps // 2
            points += [self.totals[at - 1]] * late + [self.totals[at]] * (steps - late)
            if at < self.born or self.life[at] == "x":
                points[-steps:] = [None] * steps
            elif self.life[at] == "R":
                points[-2:] = [None, None]
            elif self.life[at] == "s":
                points[-1] = None
            if self.life[at] == "x" and points[-steps - 1] is not None:
                points[-steps] = STALE if points[-steps - 1] != STALE else None
        return points

    def _returned(self, at: int) -> bool:
        return self.present[at] and any(self.present[:at]) and not self.present[at - 1]


def _told_present(metric: MetricCatalogEntry, life: str) -> list[bool]:
    """Whether a counter's source is there: what is not born is there too, where its source is measured."""
    unseen = "xR" + ("o" if metric.empty is Empty.ABSENT else "")
    return [letter not in unseen for letter in life]


def _born(life: str, unborn: str) -> int:
    return next(at for at, letter in enumerate(life) if letter not in unborn)


def _measured(played: Played, metric: MetricCatalogEntry, clock: Clock, life: str, steps: int) -> None:
    """The source of what is not born says that it is measured."""
    if "o" in life:
        points = [at * clock.interval / steps for at in range(len(life) * steps)]
        played.put(f'{_STAMP}{{metric_id="{metric.id}"}}', points)


def _events(
    derive: Events, metric: MetricCatalogEntry, clock: Clock, steps: int, life: str, values: dict[str, float]
) -> Played:
    played = Played(present=_told_present(metric, life))
    counted = CountedLife(life, [values.get(letter, 0.0) for letter in life], played.present, _born(life, "o"))
    played.put(derive.counter, counted.points(steps))
    _measured(played, metric, clock, life, steps)
    for at, letter in enumerate(life):
        nothing = 0.0 if letter == "o" and metric.empty is Empty.ZERO else None
        played.samples.append(nothing if letter == "o" else counted.gained(at, 1))
    played.windows = (
        [counted.over(at, clock.samples, played.samples) for at in range(len(life))]
        if metric.aggregate is Aggregate.SAME
        else _aggregated(metric, clock, played.samples)
    )
    return played


def _event_ratio(
    derive: EventRatio, metric: MetricCatalogEntry, clock: Clock, steps: int, life: str, values: dict[str, float]
) -> Played:
    whole = max(1000.0, derive.at_least)
    played = Played(present=_told_present(metric, life))
    few = {"f": derive.at_least - 1.0, "F": float(derive.at_least), "O": whole, "R": 0.0}
    every = [few.get(letter, whole if letter in values else 0.0) for letter in life]
    bad = {"f": float(values["c"] > values["g"]), "F": float(values["c"] > values["g"])}
    shares = [bad.get(letter, values.get(letter, 0.0)) for letter in life]
    some = [round(share * count) * 1.0 for share, count in zip(shares, every, strict=True)]
    (over, over_matchers), (under, under_matchers) = split(derive.numerator), split(derive.denominator)
    part = CountedLife(life, some, played.present, _born(life, "oO"))
    whole_ = CountedLife(life, every, played.present, _born(life, "o"))
    played.put(derive.numerator, part.points(steps))
    if over != under:
        played.put(derive.denominator, whole_.points(steps))
    else:
        if not over_matchers or under_matchers:
            raise NoRig("a numerator that is part of its denominator needs matchers, and the denominator none")
        rest = [all_ - some_ for all_, some_ in zip(every, some, strict=True)]
        played.put(derive.denominator, CountedLife(life, rest, played.present, whole_.born).points(steps))
    _measured(played, metric, clock, life, steps)
    parts, wholes = ([each.gained(at, 1) for at in range(len(life))] for each in (part, whole_))
    for at in range(len(life)):
        known = whole_.over(at, clock.samples, wholes)
        enough = known is not None and known >= derive.at_least
        windows = part.over(at, clock.samples, parts), known
        for (some_, all_), told in (((parts[at], wholes[at]), played.samples), (windows, played.windows)):
            told.append(close((some_ or 0.0) / all_) if enough and all_ else None)
    if metric.aggregate is not Aggregate.SAME:
        played.windows = _aggregated(metric, clock, played.samples)
    return played
