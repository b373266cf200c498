"""Dashboard JSON, read into what the check looks at. Other people's files: nothing is assumed to be there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUIET = frozenset({"row", "text", "news", "dashlist", "welcome"})
"""Panel types that show no query."""


class NotADashboard(ValueError):
    """The file cannot be read as a dashboard; the message says why."""


@dataclass(frozen=True)
class Place:
    """Where a panel lies on the grid of 24 columns."""

    x: int
    y: int
    width: int
    height: int

    def overlaps(self, other: Place) -> bool:
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    ref: str
    expr: str
    legend: str
    source: Any
    instant: bool
    hidden: bool
    interval: str
    buckets: bool


@dataclass(frozen=True)
class Panel:
    """One panel; `level` groups the panels that share a grid (the dashboard's, or that of one folded row)."""

    id: int | None
    title: str
    type: str
    description: str
    place: Place | None
    level: int
    source: Any
    targets: tuple[Target, ...]
    units: tuple[str, ...]
    empty: str
    repeat: str
    interval: str
    points: int
    texts: tuple[str, ...]
    """What Grafana replaces variables in, beside the queries."""
    library: bool

    @property
    def name(self) -> str:
        """How a finding calls it."""
        number = "" if self.id is None else f" (id {self.id})"
        return f"“{self.title or self.type}”{number}"


@dataclass(frozen=True)
class Variable:
    """One of the dashboard's variables."""

    name: str
    type: str
    query: str
    source: Any
    current: tuple[str, ...]
    options: tuple[str, ...]
    many: bool
    """Several values may be chosen, or all: the value stands in a regular expression."""
    all_value: str
    regex: str


@dataclass(frozen=True)
class Annotation:
    """One query whose results are marked in the graphs."""

    name: str
    expr: str
    source: Any
    legends: tuple[str, ...]
    built_in: bool
    enabled: bool


@dataclass(frozen=True)
class Dashboard:
    """One dashboard as it was read from `file`."""

    file: str
    uid: str
    title: str
    description: str
    since: str
    until: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...]
    annotations: tuple[Annotation, ...]


def read(path: Path) -> Dashboard:
    """The dashboard in a file, as exported, as the API answers it, or as provisioned. Raises NotADashboard."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise NotADashboard(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise NotADashboard(f"{path}: no JSON: {error}") from error
    return parse(value, str(path))


def parse(value: Any, file: str) -> Dashboard:
    """The dashboard in a JSON value. Raises NotADashboard."""
    if isinstance(value, dict) and isinstance(value.get("dashboard"), dict):
        value = value["dashboard"]
    if not isinstance(value, dict):
        raise NotADashboard(f"{file}: a dashboard is a JSON object")
    if "elements" in value or "elements" in _mapping(value.get("spec")):
        raise NotADashboard(f"{file}: the dashboard schema v2 is not understood; export it in the classic format")
    if not isinstance(value.get("panels"), list) and not isinstance(value.get("rows"), list):
        raise NotADashboard(f"{file}: no dashboard: it has neither panels nor rows")
    time = _mapping(value.get("time"))
    return Dashboard(
        file=file,
        uid=_text(value.get("uid")),
        title=_text(value.get("title")).strip(),
        description=_text(value.get("description")).strip(),
        since=_text(time.get("from")) or "now-6h",
        until=_text(time.get("to")) or "now",
        panels=tuple(_panels(value)),
        variables=(
            *(_input(each) for each in _mappings(value.get("__inputs"))),
            *(_variable(each) for each in _mappings(_mapping(value.get("templating")).get("list"))),
        ),
        annotations=tuple(_annotation(each) for each in _mappings(_mapping(value.get("annotations")).get("list"))),
    )


def _panels(dashboard: Mapping[str, Any]) -> Iterator[Panel]:
    level = 0
    for each in _mappings(dashboard.get("panels")):
        yield _panel(each, 0)
        if each.get("type") == "row":
            level += 1
            for inner in _mappings(each.get("panels")):
                yield _panel(inner, level)
    for row in _mappings(dashboard.get("rows")):
        for each in _mappings(row.get("panels")):
            yield _panel(each, 0)


def _panel(value: Mapping[str, Any], level: int) -> Panel:
    fields = _mapping(value.get("fieldConfig"))
    defaults = _mapping(fields.get("defaults"))
    return Panel(
        id=value["id"] if isinstance(value.get("id"), int) else None,
        title=_text(value.get("title")).strip(),
        type=_text(value.get("type")),
        description=_text(value.get("description")).strip(),
        place=_place(value.get("gridPos")),
        level=level,
        source=value.get("datasource"),
        targets=tuple(_target(each) for each in _mappings(value.get("targets"))),
        units=tuple(_units(value)),
        empty=_text(defaults.get("noValue")).strip(),
        repeat=_text(value.get("repeat")),
        interval=_text(value.get("interval")),
        points=value["maxDataPoints"] if isinstance(value.get("maxDataPoints"), int) else 0,
        texts=tuple(_texts(value)),
        library=isinstance(value.get("libraryPanel"), dict),
    )


def _target(value: Mapping[str, Any]) -> Target:
    return Target(
        ref=_text(value.get("refId")),
        expr=_text(value.get("expr")).strip(),
        legend=_text(value.get("legendFormat")),
        source=value.get("datasource"),
        instant=value.get("instant") is True and value.get("range") is not True,
        hidden=value.get("hide") is True,
        interval=_text(value.get("interval")),
        buckets=value.get("format") == "heatmap",
    )


def _units(panel: Mapping[str, Any]) -> Iterator[str]:
    fields = _mapping(panel.get("fieldConfig"))
    options = _mapping(panel.get("options"))
    found = [
        _mapping(fields.get("defaults")).get("unit"),
        _mapping(options.get("yAxis")).get("unit"),
        _mapping(options.get("cellValues")).get("unit"),
        # Panels of before Grafana 7.
        panel.get("format"),
        *(axis.get("format") for axis in _mappings(panel.get("yaxes"))),
    ]
    for override in _mappings(fields.get("overrides")):
        for each in _mappings(override.get("properties")):
            if each.get("id") == "unit":
                found.append(each.get("value"))
    yield from (unit for unit in found if isinstance(unit, str) and unit)


def _texts(panel: Mapping[str, Any]) -> Iterator[str]:
    defaults = _mapping(_mapping(panel.get("fieldConfig")).get("defaults"))
    links = [*_mappings(panel.get("links")), *_mappings(defaults.get("links"))]
    yield from (
        text
        for text in (
            *(panel.get(key) for key in ("title", "description", "interval", "timeFrom", "timeShift")),
            *(link.get(key) for link in links for key in ("title", "url")),
        )
        if isinstance(text, str) and text
    )


def _variable(value: Mapping[str, Any]) -> Variable:
    query = value.get("query")
    options = [_text(each.get("value")) for each in _mappings(value.get("options"))]
    return Variable(
        name=_text(value.get("name")),
        type=_text(value.get("type")),
        query=_text(query.get("query") if isinstance(query, dict) else query).strip(),
        source=value.get("datasource"),
        current=_chosen(_mapping(value.get("current")).get("value")),
        options=tuple(each for each in options if each and each != "$__all"),
        many=value.get("multi") is True or value.get("includeAll") is True,
        all_value=_text(value.get("allValue")),
        regex=_text(value.get("regex")),
    )


def _input(value: Mapping[str, Any]) -> Variable:
    """A place in a dashboard exported for sharing, which Grafana fills when it is imported."""
    kind = "datasource" if value.get("type") == "datasource" else "constant"
    query = value.get("pluginId") if kind == "datasource" else value.get("value")
    return Variable(_text(value.get("name")), kind, _text(query), None, (), (), many=False, all_value="", regex="")


def _annotation(value: Mapping[str, Any]) -> Annotation:
    target = _mapping(value.get("target"))
    legends = [value.get(key) for key in ("titleFormat", "textFormat")]
    return Annotation(
        name=_text(value.get("name")),
        expr=(_text(value.get("expr")) or _text(target.get("expr"))).strip(),
        source=value.get("datasource"),
        legends=tuple(each for each in legends if isinstance(each, str)),
        built_in=bool(value.get("builtIn")),
        enabled=value.get("enable") is not False,
    )


def _place(value: Any) -> Place | None:
    sides = [side for key in ("x", "y", "w", "h") if isinstance(side := _mapping(value).get(key), int)]
    return Place(*sides) if len(sides) == 4 else None


def _chosen(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(each for each in value if isinstance(each, str))
    return (value,) if isinstance(value, str) and value else ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> Sequence[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
