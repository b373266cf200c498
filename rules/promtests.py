"""Promtool unit tests for every alert: each life of `lives`, on every bad side, all as resources of one metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import groupby

from catalog.model import (
    Age,
    Catalog,
    Derivation,
    EventRatio,
    Events,
    Gauge,
    GaugeRatio,
    MetricCatalogEntry,
    Responses,
    TimeScale,
)
from rules.compile import header
from rules.derive import Clock
from rules.groups import OUT_OF_BAND, STALE_ALERT, clock
from rules.lives import FOREIGN, LIVES, TWO_EXPORTERS, Told, judge
from rules.metatests import meta_test
from rules.places import places
from rules.promql import duration, number, split
from rules.records import MEASURED, Life, differences, expected, statistics, unlike
from rules.rigs import SECOND, STALE, NoRig, Played, Point, levels, rig, shared, unstamped
from rules.yamltext import Value, dump, dump_comment

_LENGTH = max(map(len, LIVES.values()))


_LOOKBACK = 300.0
"""Seconds for which promtool shows the last scrape of a series that nobody marked; at the end it depends on its age."""
_ID = "grace:id"
_SERIES = "grace:series"
"""Names in a document that is common to metrics which differ in nothing else. No id has a colon."""


def test_files(catalog: Catalog, scale: TimeScale) -> dict[str, str]:
    """One promtool file per metric, since promtool ignores a group's interval, and one for Grace itself."""
    comment = header(catalog)
    files = {"tests/grace.yml": dump(meta_test(scale), comment)}
    comment = dump_comment(comment)
    for metric in catalog.enabled:
        for name, text in metric_texts(metric, scale).items():
            files[f"tests/{name}"] = comment + text
    return files


def metric_texts(metric: MetricCatalogEntry, scale: TimeScale) -> dict[str, str]:
    """The texts of `metric_tests`. Metrics of one kind with the same edges live the same lives: these are made once.

    Raises NoRig where no series can be made up that the metric's selectors match.
    """
    derive, names = _nameless(metric.derive)
    common = metric.model_copy(
        update={
            "id": _ID, "derive": derive, "title": "", "description": "", "unit_label": "", "resource_is": "",
            "source": None, "warning": Responses(), "critical": Responses(),
        }
    )  # fmt: skip
    try:
        common_texts = _common_texts(common, scale)
    except NoRig as error:
        raise NoRig(f"{metric.id}: {error}; it cannot be tested, build with --no-tests") from error
    texts = {}
    for file, text in common_texts.items():
        text = text.replace(_ID, metric.id).replace(common.alertname, metric.alertname)
        for number_, name in enumerate(names):
            text = text.replace(f"{_SERIES}{number_}", name)
        texts[file.replace(_ID, metric.id)] = text
    return texts


@lru_cache(maxsize=256)
def _common_texts(metric: MetricCatalogEntry, scale: TimeScale) -> dict[str, str]:
    return {name: dump(value) for name, value in metric_tests(metric, scale).items()}


def _nameless(derive: Derivation) -> tuple[Derivation, list[str]]:
    """The derivation with other names for its series, and the names that it had."""
    names: list[str] = []
    renamed = {}
    for field in ("series", "present", "numerator", "denominator", "counter", "per", "histogram", "timestamp"):
        series = getattr(derive, field, None)
        if series is not None:
            name, matchers = split(series)
            if name not in names:
                names.append(name)
            renamed[field] = f"{_SERIES}{names.index(name)}" + (f"{{{matchers}}}" if matchers else "")
    return derive.model_copy(update=renamed), names


def metric_tests(metric: MetricCatalogEntry, scale: TimeScale) -> dict[str, dict[str, Value]]:
    """The promtool documents for one metric, by name, referring to its rule file beside the tests' folder.

    A document has one interval of evaluation, so those of a Prometheus that loses some have their own.
    """
    spans = clock(metric, scale)
    steps = max(1, int(spans.interval / spans.scrape + 1e-9))
    lived = dict(_lived(metric, spans))
    first = next(iter(lived.items()))
    tests: dict[str, tuple[float, list[Value]]] = {
        metric.id: (
            1,
            [
                {
                    "name": metric.id,
                    "interval": duration(spans.interval / steps),
                    "input_series": [
                        *_up(_LENGTH * steps),
                        *_series(lived),
                        *_expected(metric, spans, steps, lived),
                    ],
                    "promql_expr_test": list(_checks(metric, spans, first[1].parts)),
                },
                _memory_test(metric, spans, steps, first),
            ],
        ),
        f"{metric.id}.late": (1.2, [_late_test(metric, spans, steps, first, 1.2, "warning")]),
        f"{metric.id}.lost": (
            2,
            [_late_test(metric, spans, steps, first, 2, ""), *_seen_once(metric, spans, steps, first)],
        ),
    }
    return {
        f"{name}.yml": {
            "rule_files": [f"../{metric.id}.yml"],
            "evaluation_interval": duration(times * spans.interval),
            "tests": each,
        }
        for name, (times, each) in tests.items()
    }


def _late_test(
    metric: MetricCatalogEntry, spans: Clock, steps: int, one: tuple[str, Played], times: float, fires: str
) -> Value:
    """A source that is gone, where evaluations are `times` as far apart: with three of four it is missed, with two it
    may as well be Prometheus that was away."""
    resource, played = one
    gone = Played({key: [*points[: 4 * steps], STALE] for key, points in played.series.items()})
    checks = [
        _check(metric, STALE_ALERT, duration(at * times * spans.interval), {resource: fires}, 'grace="true"')
        for at in (8, 9, 10)
    ]
    return {
        "name": f"{metric.id}: evaluations come late" if fires else f"{metric.id}: evaluations are lost",
        "interval": duration(spans.interval / steps),
        "input_series": list(_series({resource: gone})),
        "promql_expr_test": checks,
    }


def _seen_once(metric: MetricCatalogEntry, spans: Clock, steps: int, one: tuple[str, Played]) -> Iterator[Value]:
    """Measured sources that one scrape saw, so many scrapes before an evaluation: too old, it is not counted.

    It is young enough for two scrapes; and so it is where an evaluation reads half an interval ago.
    """
    if not isinstance(metric.derive, Gauge | GaugeRatio | Age):
        return
    _, played = one
    at = 4 * steps
    lived = {}
    counted = []
    for ago in sorted({0, 1, 2, 3, 4, *(steps // 2 + more for more in range(-1, 4))}):
        if ago * spans.scrape >= _LOOKBACK:
            continue
        resource = f"seen-{ago}-ago"
        lived[resource] = Played(
            {key: [*[None] * (at - ago), points[0]] for key, points in played.series.items() if points[0] is not None}
        )
        if ago < 2 or 0 <= ago * spans.scrape - spans.interval / 2 < 2 * spans.scrape:
            counted.append(resource)
    samples: list[Value] = [{"labels": f'{{resource="{resource}"}}', "value": 1} for resource in counted]
    query = f'group by (resource) (resource:grace_value:sample{{metric_id="{metric.id}"}})'
    yield {
        "name": f"{metric.id}: seen by one scrape",
        "interval": duration(spans.interval / steps),
        "input_series": list(_series(lived)),
        "promql_expr_test": [
            {"expr": query, "eval_time": duration(4 * spans.interval), "exp_samples": samples},
            {"expr": query, "eval_time": duration(6 * spans.interval), "exp_samples": []},
        ],
    }


def _checks(metric: MetricCatalogEntry, spans: Clock, parts: Iterable[str]) -> Iterator[Value]:
    """One check per recorded name and per alert: nothing differs from what is expected, at any evaluation."""
    own = f'metric_id="{metric.id}"'
    end = (_LENGTH - 1) * spans.interval
    over = f"[{duration(end + spans.interval / 2)}:{duration(spans.interval)}]"
    for difference in (*differences(own, parts), *_misfires(metric)):
        query = f"count_over_time(count by (resource) ({difference}){over})"
        yield {"expr": query, "eval_time": duration(end), "exp_samples": []}


def _misfires(metric: MetricCatalogEntry) -> Iterator[str]:
    """Queries of alerts that fire where they should not, or do not where they should, or carry other labels."""
    fires = (("critical", "(expected:severity == 2)"), ("warning", "(expected:severity == 1)"))
    for alert, audience, wanted in (
        (metric.alertname, 'grace="true"', fires),
        (OUT_OF_BAND, 'audience="people"', fires),
        (STALE_ALERT, 'grace="true"', (("warning", "expected:stale"),)),
    ):
        named = f'alertname="{alert}",metric_id="{metric.id}"'
        labels = f'{named},alertstate="firing",category="{metric.category.value}",{audience}'
        for severity, resources in wanted:
            yield unlike(f'ALERTS{{{labels},severity="{severity}"}}', resources)
        severities = "|".join(severity for severity, _ in wanted)
        yield f'ALERTS{{{named}}} unless ALERTS{{{labels},severity=~"{severities}"}}'


def _expected(metric: MetricCatalogEntry, spans: Clock, steps: int, lived: Mapping[str, Played]) -> Iterator[Value]:
    for resource, played in lived.items():
        told = _told(metric, played)
        life = Life(played.samples, played.windows, told, judge(told, spans.samples), played.parts)
        named = [(name, "", values) for name, values in expected(life)]
        if resource.rpartition("/")[2] in MEASURED:
            named += statistics(life, spans.samples)
        for name, band, values in named:
            label = f',band="{band}"' if band else ""
            if any(value is not None for value in values):
                yield {
                    "series": f'expected:{name}{{resource="{resource}"{label}}}',
                    "values": _held(tuple(values), steps),
                }


@lru_cache(maxsize=8192)
def _held(values: tuple[float | None, ...], steps: int) -> str:
    """promtool's notation of what holds at each evaluation and at every scrape until the next; marked where it ends."""
    words: list[str] = []
    for value, evaluations in groupby(values):
        more = len(list(evaluations)) * steps - 1
        words.append(_word(STALE if value is None and words else value, more))
    return " ".join(words)


def _memory_test(metric: MetricCatalogEntry, spans: Clock, steps: int, one: tuple[str, Played]) -> Value:
    """A source that is gone for good is missed for as long as it is remembered, and then no more.

    Counters that come back meanwhile gained nobody knows when; after it they are new, and count from 0.
    """
    resource, played = one
    until = 4 * steps
    series = {key: [*points[:until], STALE] for key, points in played.series.items()}
    lived = {resource: Played(series)}
    last = (until // steps - 1) * spans.interval
    checks: list[Value] = []
    if isinstance(metric.derive, Events | EventRatio):
        counter = metric.derive.counter if isinstance(metric.derive, Events) else metric.derive.denominator
        sample = "value" if isinstance(metric.derive, Events) else "denominator"
        remembered = until // steps - 1 + round(spans.memory / spans.interval)
        for name, at in (("returned", remembered), ("forgotten", remembered + 1)):
            back = {key: _back(points, until, (at - 1) * steps + 1, steps) for key, points in played.series.items()}
            lived[name] = Played(back)
            gained = sum(
                float(points[-1] or 0) for (series_name, _), points in back.items() if series_name == split(counter)[0]
            )
            labels = f'resource:grace_{sample}:sample{{category="{metric.category.value}", metric_id="{metric.id}"'
            found: list[Value] = [{"labels": f'{labels}, resource="{name}"}}', "value": gained}]
            checks.append(
                {
                    "expr": f'resource:grace_{sample}:sample{{metric_id="{metric.id}",resource="{name}"}}',
                    "eval_time": duration(at * spans.interval),
                    "exp_samples": found if name == "forgotten" else [],
                }
            )
    checks += [
        _check(metric, STALE_ALERT, duration(last + after), dict.fromkeys(lived, fires), 'grace="true"')
        for after, fires in (
            (5 * spans.interval, "warning"),
            (spans.memory - 2 * spans.interval, "warning"),
            (spans.memory + 2 * spans.interval, ""),
        )
    ]
    ups = _up(round((spans.memory / spans.interval + 8) * steps))
    return {
        "name": f"{metric.id}: gone for good",
        "interval": duration(spans.interval / steps),
        "input_series": [*ups, *_series(lived)],
        "promql_expr_test": checks,
    }


def _back(points: Sequence[Point], until: int, again: int, steps: int) -> list[Point]:
    """A counter that ends at scrape `until` and is back at scrape `again`, a thousand and more events later."""
    last = points[until - 1]
    assert isinstance(last, float)
    return [*points[:until], STALE, *[None] * (again - until - 1), *[last + 1000.0] * steps]


def _lived(metric: MetricCatalogEntry, spans: Clock) -> Iterator[tuple[str, Played]]:
    player = rig(metric, spans)
    for side, values in levels(metric).items():
        for name, life in LIVES.items():
            if player.knows(life):
                played = player.play(life, values)
                if name == TWO_EXPORTERS:
                    played = shared(metric, played)
                if name in FOREIGN and isinstance(metric.derive, Gauge | GaugeRatio | Age):
                    played = unstamped(metric, spans, life, played)
                yield f"{side}/{name}", played
        odd = places(metric, spans, values["g"], values["c"])
        if odd is not None:
            yield f"{side}/places", odd


def _told(metric: MetricCatalogEntry, played: Played) -> Told:
    ranks: dict[float | None, int | None] = {None: None}
    for value in {*played.samples, *played.windows} - {None}:
        band = metric.bands.of(float(Decimal(repr(value)) / metric.unit.factor))
        ranks[value] = None if band is None else band.rank
    return Told(
        tuple(ranks[value] for value in played.samples),
        tuple(ranks[value] for value in played.windows),
        tuple(played.present),
    )


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


def _up(scrapes: int) -> list[Value]:
    """Both exporters were there all the time."""
    return [
        {"series": f'up{{job="grace-exporter",instance="{instance}"}}', "values": f"1x{scrapes}"}
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
    """promtool's notation, neighbours folded: `1x4` is five samples of 1, `1+2x4` five from 1 to 9."""
    runs = [(point, len(list(neighbours))) for point, neighbours in groupby(points)]
    words = []
    at = 0
    while at < len(runs):
        until = _climb(runs, at)
        if until - at >= 2:
            first, second = runs[at][0], runs[at + 1][0]
            assert isinstance(first, float)
            assert isinstance(second, float)
            step = number(second - first)
            words.append(f"{number(first)}{'' if step.startswith('-') else '+'}{step}x{until - at}")
            at = until + 1
        else:
            words.append(_word(runs[at][0], runs[at][1] - 1))
            at += 1
    return " ".join(words)


def _climb(runs: Sequence[tuple[Point, int]], at: int) -> int:
    """The last of the whole numbers from `at` on that stand alone, each as much above the one before as the second."""
    until = at
    step = None
    while until + 1 < len(runs):
        (this, once), (following, once_more) = runs[until], runs[until + 1]
        if once != 1 or once_more != 1 or not isinstance(this, float) or not isinstance(following, float):
            break
        if not this.is_integer() or not following.is_integer() or step not in (None, following - this):
            break
        step = following - this
        until += 1
    return until


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
