"""Promtool unit tests for every alert: each life of `lives`, on every bad side, all as resources of one metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from catalog.model import Catalog, MetricCatalogEntry, TimeScale
from rules.compile import header
from rules.groups import OUT_OF_BAND, STALE_ALERT, clock
from rules.lives import LIVES, Told, severities, stale
from rules.metatests import meta_test
from rules.promql import duration, number
from rules.rigs import STALE, Played, Point, levels, rig
from rules.yamltext import Value, dump

_UP = '{job="grace-exporter",instance="exporter"}'


def test_files(catalog: Catalog, scale: TimeScale) -> dict[str, str]:
    """One promtool file per metric, since promtool ignores a group's interval, and one for Grace itself."""
    files = {"tests/grace.yml": dump(meta_test(scale), header(catalog))}
    for metric in catalog.enabled:
        value = metric_test(metric, scale)
        files[f"tests/{metric.id}.yml"] = dump(value, header(catalog))
    return files


def metric_test(metric: MetricCatalogEntry, scale: TimeScale) -> Value:
    """The promtool document for one metric, referring to its category's rule file beside the tests' folder."""
    spans = clock(metric, scale)
    steps = max(1, int(spans.interval / spans.scrape + 1e-9))
    lived = dict(_lived(metric, scale))
    length = max(map(len, LIVES.values()))
    series: list[Value] = [{"series": f"up{_UP}", "values": _values([1.0] * (length * steps))}]
    for resource, played in lived.items():
        for (name, labels), points in played.series.items():
            series.append({"series": _selector(name, resource, labels), "values": _values(points)})
    told = {resource: _told(metric, played) for resource, played in lived.items()}
    fired = {resource: severities(each, spans.samples) for resource, each in told.items()}
    missed = {resource: stale(each) for resource, each in told.items()}
    checks: list[Value] = []
    for at in range(length):
        when = duration(at * spans.interval) if at else "0s"
        severity = {resource: ("", "warning", "critical")[ranks[at]] for resource, ranks in fired.items()}
        checks.append(_check(metric, metric.alertname, when, severity, 'grace="true"'))
        checks.append(_check(metric, OUT_OF_BAND, when, severity, 'audience="people"'))
        gone = {resource: "warning" if each[at] else "" for resource, each in missed.items()}
        checks.append(_check(metric, STALE_ALERT, when, gone, 'grace="true"'))
    return {
        "rule_files": [f"../{metric.category.value}.yml"],
        "evaluation_interval": duration(spans.interval),
        "tests": [
            {
                "name": metric.id,
                "interval": duration(spans.interval / steps),
                "input_series": series,
                "promql_expr_test": checks,
            }
        ],
    }


def _lived(metric: MetricCatalogEntry, scale: TimeScale) -> Iterator[tuple[str, Played]]:
    spans = clock(metric, scale)
    player = rig(metric, spans)
    for side, values in levels(metric).items():
        for name, life in LIVES.items():
            if player.knows(life):
                yield f"{side}/{name}", player.play(life, values)


def _told(metric: MetricCatalogEntry, played: Played) -> Told:
    return Told(
        [_rank(metric, value) for value in played.samples],
        [_rank(metric, value) for value in played.windows],
        played.present,
    )


def _rank(metric: MetricCatalogEntry, value: float | None) -> int | None:
    band = None if value is None else metric.bands.of(float(Decimal(repr(value)) / metric.unit.factor))
    return None if band is None else band.rank


def _check(metric: MetricCatalogEntry, alert: str, when: str, fired: Mapping[str, str], audience: str) -> Value:
    """At this time the alert fires for just these resources, with these severities and no others."""
    return {
        "expr": f'ALERTS{{alertname="{alert}",metric_id="{metric.id}"}}',
        "eval_time": when,
        "exp_samples": [
            {
                "labels": f'ALERTS{{alertname="{alert}", alertstate="firing", category="{metric.category.value}", '
                f'{audience}, metric_id="{metric.id}", resource="{resource}", severity="{severity}"}}',
                "value": 1,
            }
            for resource, severity in fired.items()
            if severity
        ],
    }


def _selector(name: str, resource: str, labels: Sequence[tuple[str, str]]) -> str:
    every = {"job": "grace-exporter", "instance": "exporter", "resource": resource, **dict(labels)}
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in every.items()) + "}"


def _values(points: Sequence[Point]) -> str:
    """promtool's notation, equal neighbours folded: `1x4` is five samples of 1."""
    words = []
    at = 0
    while at < len(points):
        until = at
        while until + 1 < len(points) and points[until + 1] == points[at]:
            until += 1
        words.append(_word(points[at], until - at))
        at = until + 1
    return " ".join(words)


def _word(point: Point, more: int) -> str:
    if point is None:
        return "_" if not more else f"_x{more + 1}"
    if point == STALE:
        return STALE if not more else f"{STALE} _x{more}"
    value = number(float(point)) if point == point else "NaN"
    return value if not more else f"{value}x{more}"
