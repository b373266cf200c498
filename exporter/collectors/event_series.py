"""Which series events may fill: of every metric whose source is `events`, those that it is derived from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from catalog.matcher import parse_matchers
from catalog.model import (
    Age,
    EventRatio,
    Events,
    Gauge,
    GaugeRatio,
    MetricCatalogEntry,
    Quantile,
    Rate,
    Unit,
)
from exporter.families import Kind, Labels, labels_of

_LADDER = tuple(map(Decimal, ("0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "0.75", "1", "1.5", "2.5", "5", "10")))


@dataclass(frozen=True, slots=True)
class EventSeries:
    """One series as the catalog writes it: its name, the labels its matchers ask for, and the units it is told in."""

    written: str
    name: str
    labels: Labels
    kind: Kind
    units: Mapping[Unit, Decimal]
    """What a value in a unit is multiplied by, to be in base units."""
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, without infinity."""

    @property
    def identity(self) -> tuple[str, Labels]:
        """What two metrics share that are derived from the same series."""
        return self.name, self.labels

    def in_base_units(self, value: float, unit: Unit) -> float:
        """The value as it is exposed: 350 ms is 0.35, not nearly so. KeyError for a unit that does not convert."""
        factor = self.units[unit]
        return value if factor == 1 else float(Decimal(repr(value)) * factor)


def series_by_metric(metrics: Mapping[str, MetricCatalogEntry]) -> Mapping[str, tuple[EventSeries, ...]]:
    """For every metric the series that its events fill; a histogram that several share has the bounds of all."""
    found = {each: series_of(metric) for each, metric in metrics.items()}
    bounds: dict[str, set[float]] = {}
    for choices in found.values():
        for series in choices:
            bounds.setdefault(series.name, set()).update(series.bounds)
    return {
        each: tuple(replace(series, bounds=tuple(sorted(bounds[series.name]))) for series in choices)
        for each, choices in found.items()
    }


def series_of(metric: MetricCatalogEntry) -> tuple[EventSeries, ...]:
    """The series that events of this metric fill.

    Raises ValueError when a series has matchers that no single event could be meant by (`!=`, `=~`, `!~`), or when a
    counter's name does not say that it is one.
    """
    return tuple(_series(metric, written, kind, unit) for written, kind, unit in _written(metric))


def _written(metric: MetricCatalogEntry) -> Iterator[tuple[str, Kind, Unit]]:
    match metric.derive:
        case Gauge(series=series, present=present):
            yield series, Kind.GAUGE, metric.unit.base
            if present is not None:
                yield present, Kind.GAUGE, Unit.COUNT
        case GaugeRatio(numerator=numerator, denominator=denominator):
            yield numerator, Kind.GAUGE, Unit.COUNT
            yield denominator, Kind.GAUGE, Unit.COUNT
        case EventRatio(numerator=numerator, denominator=denominator):
            yield numerator, Kind.COUNTER, Unit.COUNT
            yield denominator, Kind.COUNTER, Unit.COUNT
        case Rate(counter=counter, per=per):
            yield counter, Kind.COUNTER, metric.unit.base
            if per is not None:
                yield per, Kind.GAUGE, Unit.COUNT
        case Events(counter=counter):
            yield counter, Kind.COUNTER, metric.unit.base
        case Quantile(histogram=histogram):
            yield histogram, Kind.HISTOGRAM, metric.unit.base
        case Age(timestamp=timestamp, present=present):
            yield timestamp, Kind.GAUGE, Unit.SECONDS
            yield present, Kind.GAUGE, Unit.COUNT


def _series(metric: MetricCatalogEntry, written: str, kind: Kind, unit: Unit) -> EventSeries:
    name, brace, matchers = written.partition("{")
    if kind is Kind.COUNTER and not name.endswith("_total"):
        raise ValueError(f"events cannot fill {written}: a counter's name ends with _total")
    labels: dict[str, str] = {}
    for matcher in parse_matchers(brace + matchers) if brace else ():
        if matcher.operator != "=":
            raise ValueError(f"events cannot fill {written}: which of the series that match would be meant?")
        labels[matcher.name] = matcher.value
    bounds = _bounds(metric) if kind is Kind.HISTOGRAM else ()
    return EventSeries(written, name, labels_of(labels), kind, _units(name, kind, unit), bounds)


def _units(name: str, kind: Kind, unit: Unit) -> Mapping[Unit, Decimal]:
    base = unit
    if kind is Kind.COUNTER:
        # A counter's name tells what it counts; the metric's unit is that of the rate, which for events is a number.
        base = Unit.SECONDS if name.endswith("_seconds_total") else Unit.COUNT
    units = {each: each.factor for each in Unit if each.base is base}
    if base is Unit.COUNT and unit in (Unit.PER_SECOND, Unit.PER_WINDOW):
        units[unit] = Decimal(1)
    return units


def _bounds(metric: MetricCatalogEntry) -> tuple[float, ...]:
    """Buckets around the metric's edges. The edges are bounds, so that "the p95 is at the edge" is exact."""
    sides = [side for side in (metric.bands.high, metric.bands.low) if side is not None]
    edges = [edge * metric.unit.factor for side in sides for edge in (side.warning, side.critical)]
    return tuple(sorted({float(edge * step) for edge in edges for step in _LADDER if edge > 0}))
