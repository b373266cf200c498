"""Promtool unit tests for every alert: each life of `lives`, on every bad side, all as resources of one metric."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from catalog.model import Catalog, MetricCatalogEntry, TimeScale
from rules.compile import header
from rules.derive import Clock
from rules.groups import OUT_OF_BAND, STALE_ALERT, clock
from rules.lives import FOREIGN, GONE, LIVES, TWO_EXPORTERS, Told, judge
from rules.metatests import meta_test
from rules.promql import duration, number
from rules.records import Life, records
from rules.rigs import SECOND, STALE, Played, Point, levels, rig, shared, unstamped
from rules.yamltext import Value, dump

_LENGTH = max(map(len, LIVES.values()))


def test_files(catalog: Catalog, scale: TimeScale) -> dict[str, str]:
    """One promtool file per metric, since promtool ignores a group's interval, and one for Grace itself."""
    files = {"tests/grace.yml": dump(meta_test(scale), header(catalog))}
    for metric in catalog.enabled:
        value = metric_test(metric, scale)
        files[f"tests/{metric.id}.yml"] = dump(value, header(catalog))
    return files


def metric_test(metric: MetricCatalogEntry, scale: TimeScale) -> Value:
    """The promtool document for one metric, referring to its rule file beside the tests' folder."""
    spans = clock(metric, scale)
    steps = max(1, int(spans.interval / spans.scrape + 1e-9))
    lived = dict(_lived(metric, spans))
    told = {resource: _told(metric, played) for resource, played in lived.items()}
    judged = {resource: judge(each, spans.samples) for resource, each in told.items()}
    certain = rig(metric, spans).reads_gaps
    known = [
        Life(played.samples, played.windows, told[resource], judged[resource])
        for resource, played in lived.items()
        if certain or not resource.endswith(f"/{GONE}")
    ]
    checks: list[Value] = []
    for at in range(_LENGTH):
        when = duration(at * spans.interval) if at else "0s"
        fired = {resource: ("", "warning", "critical")[each.severity[at] or 0] for resource, each in judged.items()}
        checks.append(_check(metric, metric.alertname, when, fired, 'grace="true"'))
        checks.append(_check(metric, OUT_OF_BAND, when, fired, 'audience="people"'))
        missed = {resource: "warning" if each.stale[at] else "" for resource, each in judged.items()}
        checks.append(_check(metric, STALE_ALERT, when, missed, 'grace="true"'))
        for expr, counts in records(known, at, spans.samples, _own(metric, certain)) if at % 3 == 1 else ():
            samples: list[Value] = [{"labels": labels, "value": count} for labels, count in counts.items()]
            checks.append({"expr": expr, "eval_time": when, "exp_samples": samples})
    return {
        "rule_files": [f"../{metric.id}.yml"],
        "evaluation_interval": duration(spans.interval),
        "tests": [
            {
                "name": metric.id,
                "interval": duration(spans.interval / steps),
                "input_series": [*_up(steps), *_series(lived)],
                "promql_expr_test": checks,
            },
            _memory_test(metric, spans, steps, next(iter(lived.items()))),
        ],
    }


def _own(metric: MetricCatalogEntry, certain: bool) -> str:
    """Matchers of the resources whose readings are certain."""
    return f'metric_id="{metric.id}"' + ("" if certain else f',resource!~".+/{GONE}"')


def _memory_test(metric: MetricCatalogEntry, spans: Clock, steps: int, one: tuple[str, Played]) -> Value:
    """A source that is gone for good is missed for as long as it is remembered, and then no more."""
    resource, played = one
    until = 4 * steps
    series = {key: [*points[:until], STALE] for key, points in played.series.items()}
    gone = Played(series)
    last = (until // steps - 1) * spans.interval
    checks = [
        _check(metric, STALE_ALERT, duration(last + after), {resource: fires}, 'grace="true"')
        for after, fires in (
            (5 * spans.interval, "warning"),
            (spans.memory - 2 * spans.interval, "warning"),
            (spans.memory + 2 * spans.interval, ""),
        )
    ]
    return {
        "name": f"{metric.id}: gone for good",
        "interval": duration(spans.interval / steps),
        "input_series": list(_series({resource: gone})),
        "promql_expr_test": checks,
    }


def _lived(metric: MetricCatalogEntry, spans: Clock) -> Iterator[tuple[str, Played]]:
    player = rig(metric, spans)
    for side, values in levels(metric).items():
        for name, life in LIVES.items():
            if player.knows(life):
                played = player.play(life, values)
                if name == TWO_EXPORTERS:
                    played = shared(metric, played)
                if name == FOREIGN:
                    played = unstamped(metric, spans, life, played)
                yield f"{side}/{name}", played


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


def _up(steps: int) -> list[Value]:
    """Both exporters were there all the time."""
    return [
        {"series": f'up{{job="grace-exporter",instance="{instance}"}}', "values": f"1x{_LENGTH * steps}"}
        for instance in ("exporter", SECOND)
    ]


def _series(lived: Mapping[str, Played]) -> Iterator[Value]:
    for resource, played in lived.items():
        for (name, labels), points in played.series.items():
            yield {"series": _selector(name, resource, labels), "values": _values(points)}


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
    if not math.isfinite(float(point)):
        # Words cannot be repeated.
        return " ".join([{math.inf: "Inf", -math.inf: "-Inf"}.get(float(point), "NaN")] * (more + 1))
    value = number(float(point))
    return value if not more else f"{value}x{more}"
