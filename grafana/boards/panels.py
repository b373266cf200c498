"""The kinds of panels that the dashboards are made of. None can be made without a title and a description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from grafana_foundation_sdk.builders import bargauge, heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.builders import prometheus as prometheus_builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard, prometheus
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode

SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The data source that the person looking has chosen: never one of ours."""

GREEN, ORANGE, RED, GREY, BLUE, PURPLE = "green", "orange", "red", "#8e8e8e", "blue", "purple"
BAND_COLORS = {"good": GREEN, "warning": ORANGE, "critical": RED, "idle": GREY}
_QUALITY = {"Good": GREEN, "Warning": ORANGE, "Critical": RED}


class Style(StrEnum):
    """How the lines of one query are drawn."""

    SOLID = "solid"
    THIN = "thin"
    DOTTED = "dotted"
    EDGE = "edge"
    """A threshold: dashed, in the colour of its band."""


@dataclass(frozen=True)
class Query:
    """PromQL, and what its series are called. `now` asks for this moment only."""

    expr: str
    legend: str
    style: Style = Style.SOLID
    now: bool = False
    buckets: bool = False
    """The result is a histogram's buckets, with their label `le`."""


@dataclass(frozen=True)
class Panel:
    """One panel and its size on the grid of 24 columns."""

    model: dashboard.Panel
    width: int
    height: int


@dataclass(frozen=True)
class About:
    """What every panel needs: what it is called, what it tells, how large it is, and what it says when empty."""

    title: str
    description: str
    width: int
    height: int
    empty: str = ""
    """The words shown for an empty result, where that is a state of its own ("nobody is waited for")."""


def lines(
    about: About,
    queries: Sequence[Query],
    unit: str,
    *,
    stacked: bool = False,
    colors: Mapping[str, str] | None = None,
    calcs: Sequence[str] = ("lastNotNull", "max"),
) -> Panel:
    """Values over time. `colors` maps names of series to colours; `stacked` piles them up from zero."""
    panel = (
        timeseries.Panel()
        .unit(unit)
        .line_width(2)
        .fill_opacity(60 if stacked else 0)
        .show_points(common.VisibilityMode.NEVER)
        .span_nulls(False)
        .axis_soft_min(0)
        .legend(_legend(calcs))
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
    )
    if stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL)).line_width(0)
    for index, query in enumerate(queries):
        properties = _style(query.style)
        if properties:
            panel.override_by_query(_letter(index), properties)
    if any(query.style is Style.EDGE for query in queries):
        for name in ("warning", "critical"):
            panel.override_by_regexp(f"/^{name} (above|below)/", [_fixed(BAND_COLORS[name])])
    for name, color in (colors or {}).items():
        panel.override_by_name(name, [_fixed(color)])
    return _panel(about, panel, queries)


def number(
    about: About,
    queries: Sequence[Query],
    unit: str,
    *,
    steps: Mapping[float, str] | None = None,
    words: Mapping[str, tuple[str, str]] | None = None,
    named: bool = False,
    trend: bool = False,
) -> Panel:
    """One number for each series, its background coloured: by `steps` from a value on, or by `words` for exact values.

    `named` writes the series' name beside it; `trend` draws its recent course.
    """
    panel = (
        stat.Panel()
        .unit(unit)
        .color_mode(common.BigValueColorMode.BACKGROUND if steps or words else common.BigValueColorMode.NONE)
        .graph_mode(common.BigValueGraphMode.AREA if trend else common.BigValueGraphMode.NONE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME if named else common.BigValueTextMode.VALUE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_steps(steps or {}, GREEN if steps else GREY))
    )
    if words:
        panel.mappings([_words(words)])
    return _panel(about, panel, queries)


def states(about: About, queries: Sequence[Query], words: Mapping[str, tuple[str, str]], *, link: str = "") -> Panel:
    """States over time, a row for each series. `words` maps values to their word and colour; `link` is followed from
    a row."""
    panel = (
        statetimeline.Panel()
        .mappings([_words(words)])
        .thresholds(_steps({}, GREY))
        .color_scheme(dashboard_builders.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .merge_values(True)
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.8)
        .line_width(0)
        .fill_opacity(75)
        .per_page(25)
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
    )
    if link:
        panel.data_links([dashboard_builders.DashboardLink("Show this category").url(link)])
    return _panel(about, panel, queries)


def shares(about: About, queries: Sequence[Query], unit: str, colors: Mapping[str, str]) -> Panel:
    """Bars side by side, one for each series: how much of each there is."""
    panel = (
        bargauge.Panel()
        .unit(unit)
        .min(0)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .orientation(common.VizOrientation.HORIZONTAL)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_steps({}, BLUE))
    )
    for name, color in colors.items():
        panel.override_by_regexp(f"/{name}/", [_fixed(color)])
    return _panel(about, panel, queries)


def rows(about: About, queries: Sequence[Query], columns: Mapping[str, str], unit: str = "short") -> Panel:
    """A table of what is true now. `columns` maps labels to headings, in order; other columns are hidden."""
    shown = {**columns, "Value": columns.get("Value", "Value")}
    panel = (
        table.Panel()
        .unit(unit)
        .show_header(True)
        .transformations(
            [
                dashboard.DataTransformerConfig(
                    id_val="organize",
                    options={
                        "excludeByName": dict.fromkeys(("Time", "__name__", "instance", "job"), True),
                        "indexByName": {name: index for index, name in enumerate(shown)},
                        "renameByName": dict(shown),
                    },
                )
            ]
        )
    )
    return _panel(about, panel, queries)


def heat(about: About, queries: Sequence[Query], unit: str) -> Panel:
    """How a histogram's observations are spread, over time: the darker, the more."""
    panel = (
        heatmap.Panel()
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(64))
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .hide_legend()
    )
    return _panel(about, panel, queries)


def words_of_bands() -> dict[str, tuple[str, str]]:
    """The words and colours of `series.bands`."""
    return {
        "-1": ("Idle", GREY),
        **{str(rank): (word, color) for rank, (word, color) in enumerate(_QUALITY.items())},
    }


def _panel(about: About, builder: Builder[dashboard.Panel], queries: Sequence[Query]) -> Panel:
    model = builder.build()
    model.title, model.description, model.datasource = about.title, about.description, SOURCE
    model.targets = [_target(query, _letter(index), model.type_val) for index, query in enumerate(queries)]
    if about.empty:
        model.field_config = model.field_config or dashboard.FieldConfigSource()
        model.field_config.defaults.no_value = about.empty
    return Panel(model, about.width, about.height)


def _target(query: Query, letter: str, panel_type: str) -> prometheus.Dataquery:
    target = prometheus_builders.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter)
    target = target.datasource(SOURCE).editor_mode(prometheus.QueryEditorMode.CODE)
    if query.buckets:
        target = target.format(prometheus.PromQueryFormat.HEATMAP)
    elif panel_type == "table":
        target = target.format(prometheus.PromQueryFormat.TABLE)
    return (target.instant() if query.now else target.range()).build()


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _legend(calcs: Sequence[str]) -> common_builders.VizLegendOptions:
    return (
        common_builders.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs(list(calcs))
    )


def _style(style: Style) -> list[dashboard.DynamicConfigValue]:
    drawn: dict[Style, dict[str, Any]] = {
        Style.SOLID: {},
        Style.THIN: {"custom.lineWidth": 1},
        Style.DOTTED: {"custom.lineWidth": 1, "custom.lineStyle": {"fill": "dot", "dash": [2, 4]}},
        Style.EDGE: {"custom.lineWidth": 1, "custom.lineStyle": {"fill": "dash", "dash": [10, 6]}},
    }
    return [dashboard.DynamicConfigValue(id_val=name, value=value) for name, value in drawn[style].items()]


def _fixed(color: str) -> dashboard.DynamicConfigValue:
    return dashboard.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})


def _steps(steps: Mapping[float, str], base: str) -> dashboard_builders.ThresholdsConfig:
    return (
        dashboard_builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps(
            [
                dashboard.Threshold(value=None, color=base),
                *(dashboard.Threshold(value=value, color=color) for value, color in sorted(steps.items())),
            ]
        )
    )


def _words(words: Mapping[str, tuple[str, str]]) -> dashboard.ValueMap:
    return dashboard.ValueMap(
        options={
            value: dashboard.ValueMappingResult(text=word, color=color, index=index)
            for index, (value, (word, color)) in enumerate(words.items())
        }
    )
