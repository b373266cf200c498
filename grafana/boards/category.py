"""One category: for each of its metrics the value, what its window holds, and where its bands begin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from catalog.model import Aggregate, Catalog, Category, MetricCatalogEntry, Quantile
from grafana.boards import marks
from grafana.boards.frame import Board, Choice, Row
from grafana.boards.panels import (
    BAND_COLORS,
    About,
    Panel,
    Query,
    Style,
    heat,
    lines,
    number,
    shares,
    states,
    words_of_bands,
)
from grafana.boards.series import PRESENT, VALUE, WINDOW, WINDOW_COUNT, Span, bands, latest, span_of, spans
from grafana.units import COUNT, unit_of

_NAMES = {
    Category.API: "API",
    Category.EXECUTOR: "Executor",
    Category.LEARNING: "Learning",
    Category.AUTONOMY: "Autonomy",
    Category.INFRA: "Infrastructure",
}
_IDLE = "Idle, or no data"


def uid(category: Category) -> str:
    return f"grace-{category.value}"


def category(catalog: Catalog, which: Category) -> Board | None:
    """The category's dashboard; None where none of its metrics is on."""
    metrics = tuple(metric for metric in catalog.enabled if metric.category is which)
    if not metrics:
        return None
    known = spans(metrics)
    own = f'category="{which.value}"'
    return Board(
        uid=uid(which),
        title=f"Grace / {_NAMES[which]}",
        description=f"The metrics of {_NAMES[which]}: value, window and bands, with what Grace did about them.",
        choices=(
            Choice(
                "resource",
                "Resource",
                f"Which {' or '.join(dict.fromkeys(metric.resource_is for metric in metrics))} to look at.",
                f"label_values({PRESENT}{{{own}}}, resource)",
            ),
        ),
        spans=known,
        annotations=(marks.runs(metrics), marks.handled(metrics), marks.wanted(metrics)),
        rows=(
            Row("Bands", [_bands(known, own, len(metrics))]),
            *(Row(metric.title, list(_of(metric, span_of(metric, known)))) for metric in metrics),
        ),
    )


def _bands(known: Sequence[Span], own: str, count: int) -> Panel:
    return states(
        About(
            "Bands",
            "The worst band of each metric within each step of time. Idle: the source lives and has nothing to "
            "measure. A gap: no data.",
            24,
            4 + count,
        ),
        [Query(bands(span, f'{own},resource=~"$resource"'), "{{metric_id}} · {{resource}}") for span in known],
        words_of_bands(),
    )


def _of(metric: MetricCatalogEntry, span: Span) -> Iterator[Panel]:
    unit, chosen = unit_of(metric), f'{{metric_id="{metric.id}",resource=~"$resource"}}'
    yield lines(
        About(
            metric.title,
            f"{metric.description or metric.title} Solid: each measurement. Thin and dotted: its window. "
            f"Dashed: where warning and critical begin, as the exporter says. {_judged(metric)}",
            18,
            10,
            empty=_IDLE,
        ),
        [
            Query(_by_resource(latest(f"{VALUE}{chosen}", span)), "{{resource}}"),
            *_window(metric, chosen, span),
            Query(_edges(metric), "{{band}} {{edge}}", Style.EDGE),
        ],
        unit,
        calcs=("lastNotNull", "mean", "max"),
    )
    yield number(
        About(
            "Now",
            f"The newest measurement of {metric.title}, by {metric.resource_is}.",
            6,
            5,
            empty=_IDLE,
        ),
        [Query(_by_resource(latest(f"{VALUE}{chosen}", span)), "{{resource}}")],
        unit,
        named=True,
        trend=True,
    )
    yield shares(
        About(
            "Measurements in the window",
            "How many of the window's measurements were in which band: what a warning is judged by.",
            6,
            5,
            empty=_IDLE,
        ),
        [Query(f"max by (resource, band) ({latest(WINDOW_COUNT + chosen, span)})", "{{resource}} {{band}}", now=True)],
        COUNT,
        BAND_COLORS,
    )

    if isinstance(metric.derive, Quantile):
        yield heat(
            About(
                "How it is spread",
                f"Everything that {metric.title} is the quantile of, by the histogram's bounds. The darker, the more.",
                24,
                8,
                empty=_IDLE,
            ),
            [Query(_buckets(metric.derive.histogram), "{{le}}", buckets=True)],
            unit,
        )


def _buckets(histogram: str) -> str:
    name, _, matchers = histogram.rstrip("}").partition("{")
    chosen = ",".join(each for each in (matchers.rstrip(", "), 'resource=~"$resource"') if each)
    return f"sum by (le) (increase({name.strip()}_bucket{{{chosen}}}[$__rate_interval]))"


def _window(metric: MetricCatalogEntry, chosen: str, span: Span) -> Iterator[Query]:
    if metric.aggregate is Aggregate.SAME:
        yield _statistic(WINDOW, "window", chosen, span, Style.THIN)
    yield _statistic(f"{WINDOW}_avg", "average", chosen, span, Style.THIN)
    yield _statistic(f"{WINDOW}_p95", "95th percentile", chosen, span, Style.DOTTED)
    if metric.bands.high is not None:
        yield _statistic(f"{WINDOW}_max", "highest", chosen, span, Style.DOTTED)
    if metric.bands.low is not None:
        yield _statistic(f"{WINDOW}_min", "lowest", chosen, span, Style.DOTTED)


def _statistic(series: str, word: str, chosen: str, span: Span, style: Style) -> Query:
    return Query(_by_resource(latest(f"{series}{chosen}", span)), f"{{{{resource}}}}, {word}", style)


def _judged(metric: MetricCatalogEntry) -> str:
    judged = {
        Aggregate.AVG: "the window's average",
        Aggregate.MAX: "the window's highest measurement",
        Aggregate.SAME: "the same taken over the whole window",
    }[metric.aggregate]
    return f"A warning is judged by {judged}, a critical alert by the last three measurements."


def _edges(metric: MetricCatalogEntry) -> str:
    """Where the bands begin, the edge's side in words: `warning above`."""
    edges = f'max by (band, edge) (grace_threshold{{metric_id="{metric.id}"}})'
    above = f'label_replace({edges}, "edge", "above", "edge", "high")'
    return f'label_replace({above}, "edge", "below", "edge", "low")'


def _by_resource(expression: str) -> str:
    return f"max by (resource) ({expression})"
