"""What every dashboard has: its place, its data source, its variables, its links, its annotations; and its JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from grafana.boards.panels import SOURCE, Panel
from grafana.boards.series import Span

GRID = 24
TAG = "grace"
MARK = "DO NOT EDIT. Generated from the catalog by `grace grafana build`; what is changed here is lost."
_ALL = "$__all"


@dataclass(frozen=True)
class Choice:
    """A variable whose values Prometheus gives; all of them are chosen at first."""

    name: str
    label: str
    description: str
    query: str


@dataclass(frozen=True)
class Annotation:
    """A span of time marked in every graph: wherever `expr` is above 0."""

    name: str
    expr: str
    title: str
    text: str
    color: str
    tags: Sequence[str] = ()


@dataclass(frozen=True)
class Row:
    """Panels under a heading, set from left to right and wrapped at 24 columns."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Board:
    """One dashboard. `uid` is its address and never changes."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    choices: Sequence[Choice] = ()
    spans: Sequence[Span] = ()
    annotations: Sequence[Annotation] = ()
    tags: Sequence[str] = field(default_factory=tuple)
    since: str = "now-1h"


def text(board: Board) -> str:
    """The dashboard's JSON, byte-stable."""
    value = json.loads(json.dumps(_model(board), cls=JSONEncoder))
    # The SDK knows no fields of a Prometheus annotation; Grafana's data source reads them beside the others.
    for written, annotation in zip(value["annotations"]["list"][1:], board.annotations, strict=True):
        written.update(_annotation_fields(annotation))
    # The SDK writes the fields of an interval variable into every one.
    for variable in value["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            variable.pop(name, None)
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _model(board: Board) -> models.Dashboard:
    built = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(f"{board.description} {MARK}")
        .tags([TAG, *board.tags])
        .timezone("browser")
        .time(board.since, "now")
        .refresh("30s")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            builders.DashboardLink("Grace")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tooltip("The other dashboards of Grace")
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(False)
            .keep_time(True)
        )
        .with_variable(_datasource())
        .annotation(_alerts_of_grafana())
    )
    for choice in board.choices:
        built.with_variable(_choice(choice))
    for span in board.spans:
        built.with_variable(_span(span))
    for annotation in board.annotations:
        built.annotation(
            builders.AnnotationQuery()
            .name(annotation.name)
            .datasource(SOURCE)
            .enable(True)
            .icon_color(annotation.color)
            .expr(annotation.expr)
        )
    model = built.build()
    model.panels = list(_placed(board.rows))
    return model


def _placed(rows: Iterable[Row]) -> Iterable[models.Panel | models.RowPanel]:
    """Every row and panel with its place and its number; the same dashboard always has the same ones."""
    number, top = 0, 0
    for row in rows:
        number += 1
        yield models.RowPanel(title=row.title, id_val=number, grid_pos=models.GridPos(h=1, w=GRID, x=0, y=top))
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > GRID:
                top, left, tallest = top + tallest, 0, 0
            number += 1
            panel.model.id_val = number
            panel.model.grid_pos = models.GridPos(h=panel.height, w=panel.width, x=left, y=top)
            left, tallest = left + panel.width, max(tallest, panel.height)
            yield panel.model
        top += tallest


def _datasource() -> builders.DatasourceVariable:
    return (
        builders.DatasourceVariable("datasource")
        .label("Data source")
        .description("The Prometheus that has Grace's rules.")
        .type("prometheus")
        .current(models.VariableOption(text="default", value="default"))
    )


def _choice(choice: Choice) -> builders.QueryVariable:
    return (
        builders.QueryVariable(choice.name)
        .label(choice.label)
        .description(choice.description)
        .datasource(SOURCE)
        .query(choice.query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(text=["All"], value=[_ALL]))
    )


def _span(span: Span) -> builders.QueryVariable:
    return (
        builders.QueryVariable(span.variable)
        .label(span.label)
        .description("One and a half intervals of measurement, in milliseconds, as Prometheus evaluates them.")
        .hide(models.VariableHide.HIDE_VARIABLE)
        .datasource(SOURCE)
        .query(span.query)
        .refresh(models.VariableRefresh.ON_DASHBOARD_LOAD)
        .current(models.VariableOption(text=span.default, value=span.default))
    )


def _alerts_of_grafana() -> builders.AnnotationQuery:
    return (
        builders.AnnotationQuery()
        .name("Annotations & Alerts")
        .datasource(models.DataSourceRef(type_val="grafana", uid="-- Grafana --"))
        .built_in(1)
        .enable(True)
        .hide(True)
        .icon_color("rgba(0, 211, 255, 1)")
        .type("dashboard")
    )


def _annotation_fields(annotation: Annotation) -> dict[str, Any]:
    return {
        "step": "15s",
        "tagKeys": ",".join(annotation.tags),
        "textFormat": annotation.text,
        "titleFormat": annotation.title,
        "useValueForTime": False,
    }
