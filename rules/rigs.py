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
from rules.promql import LOOK, split

STALE = "stale"
SECOND = "second"
"""The instance of the other exporter, where two see one resource."""
Point = float | str | None
"""A scraped value, the mark of a series that ended, or no scrape."""

_MATCHER = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*,?')


class NoRig(ValueError):
    """No series can be made up that this metric's selectors match; the message says which."""


@dataclass
class Played:
    """One life in raw series: (name, labels) → a point per scrape, and the values that must be read from it."""

    series: dict[tuple[str, tuple[tuple[str, str], ...]], list[Point]] = field(default_factory=dict)
    samples: list[float | None] = field(default_factory=list)
    windows: list[float | None] = field(default_factory=list)
    present: list[bool] = field(default_factory=list)
    parts: dict[str, list[float | None]] = field(default_factory=dict)
    """What is recorded besides, by the end of its name: `numerator:sample`."""

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
    certain = clock.interval > LOOK * clock.scrape
    match metric.derive:
        case Gauge() as derive:
            return _Gauges(metric, clock, steps).gauge(derive)
        case GaugeRatio() as derive:
            return _Gauges(metric, clock, steps).ratio(derive)
        case Age() as derive:
            return _Gauges(metric, clock, steps).age(derive)
        case Rate() as derive:
            letters = _COUNTED | set("usv") | set("oiNPM" if derive.per else "")
            return Rig(letters, partial(_rate, derive, metric, clock, steps))
        case Quantile() as derive:
            letters = _COUNTED | set("usv") | set("" if metric.empty is Empty.ABSENT else "odi")
            return Rig(letters, partial(_quantile, derive, metric, clock, steps))
        case Events() as derive:
            play = partial(_events, derive, metric, clock, steps)
            return Rig(_COUNTED | _BORN, play, reads_gaps=certain)
        case EventRatio() as derive:
            play = partial(_event_ratio, derive, metric, clock, steps)
            return Rig(_COUNTED | _BORN | set("OfF"), play, reads_gaps=certain)


_COUNTED = frozenset("gGwWcECknx")
_BORN = frozenset("rRqosbdijv")
_MEASURED = "gGwWcECkhxuvlLes"
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
    both = Played({}, played.samples, played.windows, played.present, played.parts)
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
            "k": worst if side == "low" else 3 * critical,
            "v": good,
            "r": good,
            "j": good,
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
            labels[name] = _matching(name, value)
    return labels


_CLASS = re.compile(r"\\(?P<escaped>.)|\[(?P<first>[^\^\]])[^\]]*\]|\.")
_CHOICE = re.compile(r"\((?:\?:)?([^()|]*)(?:\|[^()]*)?\)")


def _matching(name: str, pattern: str) -> str:
    """A value that the pattern matches: of every choice the first, of every class one, everything once.

    Raises NoRig where that is none.
    """
    written = pattern.replace("\\\\", "\\")  # PromQL's own escaping
    made_up = _CLASS.sub(_one_of, written.strip("^$"))
    while _CHOICE.search(made_up):
        made_up = _CHOICE.sub(r"\1", made_up)
    made_up = re.sub(r"[+*?]", "", made_up.split("|")[0])
    try:
        if re.fullmatch(written, made_up):
            return made_up
    except re.error:
        pass  # Prometheus knows the pattern, Python does not.
    raise NoRig(f'no value of {name} can be made up that matches "{pattern}"')


def close(value: float) -> float | None:
    """As the rules record it: to a millionth; no value for NaN and the infinities."""
    return math.floor(value * 1e6 + 0.5) / 1e6 if math.isfinite(value) else None


def _one_of(found: re.Match[str]) -> str:
    escaped = found["escaped"]
    return {"d": "0", "w": "a"}.get(escaped, escaped) if escaped else found["first"] or "0"


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
            played.put(derive.present, self._points(life, [None if letter in "xuv" else 20.0 for letter in life]))
            if self.metric.empty is not Empty.ABSENT:
                gone = ""
        nothing = 0.0 if self.metric.empty is Empty.ZERO else None
        return self._told(played, life, read, nothing, gone)

    def ratio(self, derive: GaugeRatio) -> Rig:
        return Rig(frozenset(_MEASURED + "nPM"), lambda life, values: self._ratio(derive, life, values))

    def _ratio(self, derive: GaugeRatio, life: str, values: dict[str, float]) -> Played:
        whole = 10000.0
        played = Played()
        # Something over nothing is as good as nothing.
        plain = life.replace("P", "n").replace("M", "n")
        read = [self._read(letter, values) for letter in plain]
        under = [None if letter in "xuv" else 0.0 if letter == "n" else whole for letter in plain]
        over = [
            None if letter in "xuv" else whole if letter in "PM" else 0.0 if value is None else value * whole
            for letter, value in zip(life, read, strict=True)
        ]
        played.put(derive.numerator, self._points(plain, over, lambda _at, _step: values["c"] * whole))
        played.put(derive.denominator, self._points(plain, under))
        nothing = 0.0 if self.metric.empty is Empty.ZERO else None
        return self._told(played, plain, read, nothing, "n" if self.metric.empty is Empty.ABSENT else "")

    def age(self, derive: Age) -> Rig:
        return Rig(frozenset(_MEASURED + "nmNPM") - set("lLes"), lambda life, values: self._age(derive, life, values))

    def _age(self, derive: Age, life: str, values: dict[str, float]) -> Played:
        played = Played()
        read = [self._read(letter, values) for letter in life]
        since = [
            _NO_NUMBER[letter]
            if letter in _NO_NUMBER
            else None
            if value is None
            else close(at * self.clock.interval - value)
            for at, (letter, value) in enumerate(zip(life, read, strict=True))
        ]
        # What is due only at the end of time has not waited.
        read = [0.0 if letter == "P" else value for letter, value in zip(life, read, strict=True)]
        played.put(derive.timestamp, self._points(life, since))
        played.put(derive.present, self._points(life, [None if letter in "xuv" else 3.0 for letter in life]))
        return self._told(played, life, read, 0.0, "")

    def _told(
        self, played: Played, life: str, read: Sequence[float | None], nothing: float | None, gone: str
    ) -> Played:
        """The life as it is read: each measurement once. `gone` are the letters at which the source is not there."""
        interval = self.clock.interval
        taken = [
            None if letter in "xuv" else (at + 0.01 * (letter in "lL")) * interval for at, letter in enumerate(life)
        ]
        stamp = f'{_STAMP}{{metric_id="{self.metric.id}"}}'
        played.put(stamp, self._points(life, taken, lambda at, step: at * interval + step * self.clock.scrape))
        readings: list[float | None] = []
        for letter, value in zip(life, read, strict=True):
            if letter in "xuvh":
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
        played.windows = aggregated(self.metric, self.clock, played.samples)
        held = self._unheld(life)
        # The last scrape before an unmarked gap is still young enough at the gap's first evaluation.
        played.present = [
            held[at - 1] not in "xuv" + gone if letter == "u" and at else letter not in "xuvL" + gone
            for at, letter in enumerate(held)
        ]
        return played

    def _read(self, letter: str, values: dict[str, float]) -> float | None:
        if letter in "xnhuv":
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
            if letter == "v":
                # The gap began a scrape earlier: at this evaluation the last one is just too old.
                points[-1] = None
            current = current if letter == "h" else value
            if letter == "e" and between is not None:
                points += [current, *(between(at, step) for step in range(1, self.steps))]
                continue
            points += [*first, *[current] * (self.steps - len(first))]
            if current is None and there and letter not in "uv":
                points[-self.steps] = STALE
        return points


def unstamped(metric: MetricCatalogEntry, clock: Clock, life: str, played: Played) -> Played:
    """The same life of an exporter that does not say when it measured: what stands there is read as it stands."""
    series = {key: points for key, points in played.series.items() if key[0] != _STAMP}
    samples = list(played.samples)
    older = clock.interval if isinstance(metric.derive, Age) else 0.0
    for at in range(1, len(life)):
        value = samples[at - 1]
        if life[at] == "u" and life[at - 1] not in "uv" and value is not None:
            # The last scrape is still young enough at the gap's first evaluation.
            samples[at] = value + older
    return Played(series, samples, aggregated(metric, clock, samples), played.present)


def aggregated(metric: MetricCatalogEntry, clock: Clock, samples: Sequence[float | None]) -> list[float | None]:
    """Each window's value, where it is the mean or the maximum of samples."""
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


def _counter(life: str, each: Sequence[float], steps: int, start: float) -> list[Point]:
    """A counter's points: what letter k adds, it adds evenly between evaluation k-1 and evaluation k."""
    points: list[Point] = [None if life[0] in "odi" else start]
    total = start
    for letter, amount in list(zip(life, each, strict=True))[1:]:
        there = points[-1] is not None and points[-1] != STALE
        if letter in "xuodi":
            points += [STALE if there and letter == "x" else None, *[None] * (steps - 1)]
        else:
            points += [total + amount * step / steps for step in range(1, steps + 1)]
        _lose(points, letter)
        total += amount
    return points


def _lose(points: list[Point], letter: str) -> None:
    """The scrapes that a letter loses before its evaluation, and nobody marks."""
    lost = {"s": 1, "v": 2, "R": 2}.get(letter, 0)
    if lost:
        points[-lost:] = [None] * lost


def _fresh(points: Sequence[Point], at: int) -> bool:
    """Whether a series was scraped within the last two scrapes, at scrape `at`."""
    return any(isinstance(point, float) for point in points[max(0, at - 1) : at + 1])


def _stamps(life: str, clock: Clock, steps: int) -> list[Point]:
    """When the source of what is not born was measured, scrape by scrape: at each, until that stops."""
    points: list[Point] = [at * clock.interval / steps for at in range(len(life) * steps)]
    for at, letter in enumerate(life):
        if letter in "bdi":
            # The last scrape is just too old at the first evaluation without it.
            lost = 1 if letter == "i" else 2 if letter == "d" != life[at - 1] else min(steps, at * steps + 1)
            points[at * steps + 1 - lost : at * steps + 1] = [None] * lost
    return points


def _rate(
    derive: Rate, metric: MetricCatalogEntry, clock: Clock, steps: int, life: str, values: dict[str, float]
) -> Played:
    each = 2.0 if derive.per else 1.0
    # Something over nothing is infinite, and nothing over nothing is no number.
    known = {**values, "P": values["g"], "M": values["g"]}
    points = _counter(life, [known.get(letter, 0.0) * each * clock.interval for letter in life], steps, 1e6)
    alive = points
    played = Played()
    played.put(derive.counter, points)
    if derive.per:
        there = _counter(life.replace("o", "g").replace("i", "s"), [0.0] * len(life), steps, each)
        alive = [
            0.0 if isinstance(point, float) and life[math.ceil(at / steps)] in _NO_NUMBER else point
            for at, point in enumerate(there)
        ]
        played.put(derive.per, alive)

    def over(at: int, span: float) -> float | None:
        seen = _Seen.of(points, at * steps, clock, span)
        if derive.per and (life[at] in _NO_NUMBER or not _fresh(alive, at * steps)):
            return None
        if seen is None:
            read = any(isinstance(point, float) for point in points[max(0, at * steps - 3) : at * steps + 1])
            return 0.0 if derive.per and metric.empty is Empty.ZERO and not read else None
        return close(seen.rate(points) / each)

    played.present = [_fresh(alive, at * steps) for at in range(len(life))]
    played.samples = [over(at, clock.interval) for at in range(len(life))]
    played.windows = (
        [over(at, clock.window) for at in range(len(life))]
        if metric.aggregate is Aggregate.SAME
        else aggregated(metric, clock, played.samples)
    )
    return played


@dataclass(frozen=True)
class _Seen:
    """The first and the last scrape that a range holds, and by what the gain between them becomes a rate."""

    first: int
    last: int
    factor: float

    @classmethod
    def of(cls, points: Sequence[Point], at: int, clock: Clock, span: float) -> _Seen | None:
        """None where the range that ends at scrape `at` holds fewer than two scrapes."""
        reach = clock.rate_seconds(span)
        low = max(0, at - math.floor(reach / clock.scrape))
        held = [each for each in range(low, at + 1) if isinstance(points[each], float)]
        if len(held) < 2:
            return None
        first, last = held[0], held[-1]
        covered = (last - first) * clock.scrape
        between = covered / (len(held) - 1)
        missing = (reach - (at - first) * clock.scrape, (at - last) * clock.scrape)
        # As Prometheus does: a whole gap at either end where it is no longer than usual, else half of what is usual.
        extended = sum(gap if gap < 1.1 * between else between / 2 for gap in missing)
        return cls(first, last, (covered + extended) / covered / reach)

    def gain(self, points: Sequence[Point]) -> float:
        """What a counter gained between the two scrapes."""
        first, last = points[self.first], points[self.last]
        assert isinstance(first, float)
        assert isinstance(last, float)
        return last - first

    def rate(self, points: Sequence[Point]) -> float:
        """The same per second."""
        return self.gain(points) * self.factor


def _quantile(
    derive: Quantile, metric: MetricCatalogEntry, clock: Clock, steps: int, life: str, values: dict[str, float]
) -> Played:
    bounds = _bounds(metric)
    observed = 10000
    spread = [_spread(values.get(letter), bounds, derive.quantile, observed) for letter in life]
    played = Played()
    buckets: list[list[Point]] = []
    for index, bound in enumerate([*bounds, math.inf]):
        each = [sum(counts[: index + 1]) * steps if counts else 0.0 for counts in spread]
        label = "+Inf" if math.isinf(bound) else repr(bound)
        buckets.append(_counter(life, [float(x) for x in each], steps, 1e6))
        played.put(derive.histogram, buckets[-1], "_bucket", le=label)
    played.put(derive.histogram, buckets[-1], "_count")

    def over(at: int, span: float) -> float | None:
        seen = _Seen.of(buckets[-1], at * steps, clock, span)
        if seen is None:
            return None
        upto = [seen.gain(bucket) for bucket in buckets]
        return _quantile_of([high - low for low, high in pairwise([0.0, *upto])], bounds, derive.quantile)

    _measured(played, metric, clock, life, steps)
    played.present = [letter in "oi" or _fresh(buckets[-1], at * steps) for at, letter in enumerate(life)]
    played.samples = [over(at, clock.interval) for at in range(len(life))]
    played.windows = (
        [over(at, clock.window) for at in range(len(life))]
        if metric.aggregate is Aggregate.SAME
        else aggregated(metric, clock, played.samples)
    )
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
    lower = bounds[index - 1] if index else 0.0
    within = min(1.0, (value - lower) / (bounds[index] - lower))
    # So many lie below the value's bucket that the quantile comes to lie as far within it as the value does.
    below = math.ceil(observed * (quantile - within) / (1 - within)) - 1 if index and within < quantile else 0
    counts[index] = observed - below
    if below:
        counts[index - 1] = below
    return counts


def _quantile_of(counts: Sequence[float], bounds: Sequence[float], quantile: float) -> float | None:
    total = sum(counts)
    if not total:
        return None
    rank, below = quantile * total, 0.0
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
        self.present = present
        self.born = born
        """The first letter at which the counter is there; it counts from 0 then."""
        self.restarts = [at + (letter == "R") for at, letter in enumerate(life) if letter in "rR"]
        self.totals = [0.0 if born else 1000.0]
        for at, amount in list(enumerate(each))[1:]:
            last = self.totals[-1]
            self.totals.append(last - 1 if life[at] == "q" else (0.0 if at in self.restarts else last) + amount)

    def read(self, at: int) -> float | None:
        """The counter as an evaluation reads it."""
        return None if at < self.born or self.life[at] in "xbd" else self.totals[at]

    def gained(self, at: int, span: int) -> float | None:
        """How many events the last `span` intervals saw; None where nobody can know."""
        now, start = self.read(at), at - span
        if now is None:
            return None
        if any(start < began <= at and (self.life[began - 1] != "R" or start < began - 1) for began in self.restarts):
            return now
        if start < 0:
            return None
        before = self.read(start)
        if before is not None and now >= before:
            return now - before
        return None if any(self._returned(each) for each in range(start + 1, at + 1)) else now

    def points(self, steps: int) -> list[Point]:
        """A point per scrape: what a letter adds, it adds in the middle, or right at its beginning after a restart."""
        points: list[Point] = [None if self.born else self.totals[0]]
        for at in range(1, len(self.life)):
            late = 0 if at in self.restarts or self.life[at] == "v" else steps // 2
            points += [self.totals[at - 1]] * late + [self.totals[at]] * (steps - late)
            if at < self.born or self.life[at] in "xbd":
                points[-steps:] = [None] * steps
            _lose(points, self.life[at])
            if self.life[at] == "x" and points[-steps - 1] is not None:
                points[-steps] = STALE if points[-steps - 1] != STALE else None
        return points

    def _returned(self, at: int) -> bool:
        return self.present[at] and any(self.present[:at]) and not self.present[at - 1]


def _put(
    played: Played, series: str, life: str, each: Sequence[float], steps: int, unborn: str = "obdi"
) -> list[CountedLife]:
    """The counter that adds `each`, among the played; from a letter j on, another instance adds half of it."""
    joins = life.find("j")
    theirs = [0.0 if joins < 0 or at < joins else float(amount // 2) for at, amount in enumerate(each)]
    mine = [amount - their for amount, their in zip(each, theirs, strict=True)]
    counters = [CountedLife(life, mine, played.present, _born(life, unborn))]
    played.put(series, counters[0].points(steps))
    if joins >= 0:
        counters.append(CountedLife(life, theirs, played.present, joins))
        played.put(series, counters[1].points(steps), instance=SECOND)
    return counters


def _over_window(
    counters: Sequence[CountedLife], at: int, clock: Clock, samples: Sequence[float | None]
) -> float | None:
    """What they gained over the window; while nobody can know, the sum of what was seen."""
    together = _together(counters, at, clock.samples)
    return _seen(samples, at, clock.samples) if together is None else together


def _together(counters: Sequence[CountedLife], at: int, span: int) -> float | None:
    """What several counters gained, as far as anybody can know; None where nobody knows it of any."""
    gained = [each for each in (counter.gained(at, span) for counter in counters) if each is not None]
    return math.fsum(gained) if gained else None


def _seen(samples: Sequence[float | None], at: int, span: int) -> float | None:
    """The sum of the last `span` samples; None where there are none."""
    seen = [value for value in samples[max(0, at - span + 1) : at + 1] if value is not None]
    return math.fsum(seen) if seen else None


def _told_present(metric: MetricCatalogEntry, life: str) -> list[bool]:
    """Whether a counter's source is there: what is not born is there too, where its source is measured."""
    unseen = "xRvbd" + ("oi" if metric.empty is Empty.ABSENT else "")
    return [letter not in unseen for letter in life]


def _born(life: str, unborn: str) -> int:
    return next((at for at, letter in enumerate(life) if letter not in unborn), len(life))


def _measured(played: Played, metric: MetricCatalogEntry, clock: Clock, life: str, steps: int) -> None:
    """The source of what is not born says that it is measured."""
    if "o" in life:
        played.put(f'{_STAMP}{{metric_id="{metric.id}"}}', _stamps(life, clock, steps))


def _events(
    derive: Events, metric: MetricCatalogEntry, clock: Clock, steps: int, life: str, values: dict[str, float]
) -> Played:
    played = Played(present=_told_present(metric, life))
    each = [values.get(letter, 0.0) for letter in life]
    counters = _put(played, derive.counter, life, each, steps)
    _measured(played, metric, clock, life, steps)
    for at, letter in enumerate(life):
        nothing = 0.0 if metric.empty is Empty.ZERO else None
        played.samples.append(nothing if letter in "oi" else _together(counters, at, 1))
    played.windows = (
        [_over_window(counters, at, clock, played.samples) for at in range(len(life))]
        if metric.aggregate is Aggregate.SAME
        else aggregated(metric, clock, played.samples)
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
    part = _put(played, derive.numerator, life, some, steps, "obdiO")
    if over != under:
        whole_ = _put(played, derive.denominator, life, every, steps)
    else:
        if not over_matchers or under_matchers:
            raise NoRig("a numerator that is part of its denominator needs matchers, and the denominator none")
        rest = [all_ - some_ for all_, some_ in zip(every, some, strict=True)]
        whole_ = [*part, *_put(played, derive.denominator, life, rest, steps)]
    _measured(played, metric, clock, life, steps)
    for name, counters in (("numerator", part), ("denominator", whole_)):
        gained = [_together(counters, at, 1) for at in range(len(life))]
        played.parts[f"{name}:sample"] = gained
        played.parts[f"{name}:window"] = [_over_window(counters, at, clock, gained) for at in range(len(life))]
    for told, over_ in ((played.samples, "sample"), (played.windows, "window")):
        some_of, all_of = played.parts[f"numerator:{over_}"], played.parts[f"denominator:{over_}"]
        for some_, all_, known in zip(some_of, all_of, played.parts["denominator:window"], strict=True):
            enough = known is not None and known >= derive.at_least
            told.append(close((some_ or 0.0) / all_) if enough and all_ else None)
    if metric.aggregate is not Aggregate.SAME:
        played.windows = aggregated(metric, clock, played.samples)
    return played
