"""What can be seen in the dashboards alone: names, places, data sources, units, variables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

from grafana.check.document import QUIET, Dashboard, Panel
from grafana.check.finding import Finding, Rule
from grafana.check.variables import used

GRID = 24
_UNIT_IDS = Path(__file__).parent / "unit_ids.json"
_OWN_WORDS = frozenset({"prefix", "suffix", "time", "si", "count", "currency", "bool"})
_OF_GRAFANA = frozenset({"-- Grafana --", "-- Mixed --", "-- Dashboard --", "grafana", "__expr__"})


@cache
def unit_ids() -> frozenset[str]:
    """Ids of the units that Grafana knows; the file says from where they are."""
    return frozenset(json.loads(_UNIT_IDS.read_text(encoding="utf-8"))["ids"])


def among(dashboards: Sequence[Dashboard]) -> Iterator[Finding]:
    """What is wrong between several dashboards."""
    first: dict[str, str] = {}
    for dashboard in dashboards:
        if not dashboard.uid:
            yield Finding(dashboard.file, "", Rule.UID_MISSING, "the dashboard has no uid")
        elif dashboard.uid in first:
            message = f"uid {dashboard.uid} is that of {first[dashboard.uid]} too"
            yield Finding(dashboard.file, "", Rule.UID_DUPLICATE, message)
        else:
            first[dashboard.uid] = dashboard.file


def findings(dashboard: Dashboard) -> Iterator[Finding]:
    """What is wrong with one dashboard on its face."""
    yield from _words(dashboard)
    yield from _ids(dashboard)
    yield from _places(dashboard)
    yield from _sources(dashboard)
    yield from _units(dashboard)
    yield from _variables(dashboard)


def _words(dashboard: Dashboard) -> Iterator[Finding]:
    if not dashboard.title:
        yield Finding(dashboard.file, "", Rule.TITLE_MISSING, "the dashboard has no title")
    if not dashboard.description:
        yield Finding(dashboard.file, "", Rule.DESCRIPTION_MISSING, "the dashboard has no description")
    for panel in dashboard.panels:
        if not panel.title and panel.type != "text" and not panel.library:
            yield Finding(dashboard.file, panel.name, Rule.TITLE_MISSING, "the panel has no title")
        if not panel.description and panel.type not in QUIET and not panel.library:
            yield Finding(dashboard.file, panel.name, Rule.DESCRIPTION_MISSING, "the panel has no description")


def _ids(dashboard: Dashboard) -> Iterator[Finding]:
    seen: dict[int, Panel] = {}
    for panel in dashboard.panels:
        if panel.id is None:
            continue
        if panel.id in seen:
            message = f"id {panel.id} is that of {seen[panel.id].name} too"
            yield Finding(dashboard.file, panel.name, Rule.ID_DUPLICATE, message)
        seen.setdefault(panel.id, panel)


def _places(dashboard: Dashboard) -> Iterator[Finding]:
    for panel in dashboard.panels:
        place = panel.place
        if place and (min(place.x, place.y) < 0 or min(place.width, place.height) < 1 or place.x + place.width > GRID):
            message = f"it lies at x={place.x}, y={place.y} with {place.width} × {place.height}, of {GRID} columns"
            yield Finding(dashboard.file, panel.name, Rule.PANEL_OUTSIDE, message)
    for one, other in combinations(dashboard.panels, 2):
        if one.level == other.level and one.place and other.place and one.place.overlaps(other.place):
            yield Finding(dashboard.file, other.name, Rule.PANELS_OVERLAP, f"it lies over {one.name}")


def _sources(dashboard: Dashboard) -> Iterator[Finding]:
    for panel in dashboard.panels:
        if panel.type in QUIET:
            continue
        own = [panel.source] if panel.targets or panel.source is not None else []
        wrong = {_fixed(source) for source in own}
        wrong |= {_fixed(target.source) for target in panel.targets if target.source is not None}
        for problem in sorted(wrong - {""}):
            yield Finding(dashboard.file, panel.name, Rule.DATASOURCE_FIXED, problem)
    for variable in dashboard.variables:
        problem = _fixed(variable.source) if variable.type == "query" else ""
        if problem:
            yield Finding(dashboard.file, "", Rule.DATASOURCE_FIXED, f"variable {variable.name}: {problem}")
    for annotation in dashboard.annotations:
        problem = "" if annotation.built_in else _fixed(annotation.source)
        if problem:
            yield Finding(dashboard.file, "", Rule.DATASOURCE_FIXED, f"annotation {annotation.name}: {problem}")


def _fixed(source: Any) -> str:
    name = source.get("uid") if isinstance(source, dict) else source
    if not isinstance(name, str) or not name:
        return "the data source is left to the default; use a variable of type datasource"
    if name in _OF_GRAFANA or name.startswith(("$", "[[")):
        return ""
    return f"the data source is always {name}; use a variable of type datasource"


def _units(dashboard: Dashboard) -> Iterator[Finding]:
    for panel in dashboard.panels:
        for unit in dict.fromkeys(panel.units):
            if unit not in unit_ids() and unit.partition(":")[0] not in _OWN_WORDS and "$" not in unit:
                message = f"{unit} is no unit of Grafana's; write suffix:{unit} where those words are meant"
                yield Finding(dashboard.file, panel.name, Rule.UNIT_UNKNOWN, message)


def _variables(dashboard: Dashboard) -> Iterator[Finding]:
    defined = {variable.name for variable in dashboard.variables}
    for panel in dashboard.panels:
        texts = [*panel.texts, f"${panel.repeat}" if panel.repeat else ""]
        texts += [_uid(panel.source), *(_uid(target.source) for target in panel.targets)]
        texts += [text for target in panel.targets for text in (target.expr, target.legend, target.interval)]
        for name in _undefined(texts, defined):
            message = f"${name} is used and not defined"
            yield Finding(dashboard.file, panel.name, Rule.VARIABLE_UNDEFINED, message)
    others = [(f"variable {each.name}", [each.query, _uid(each.source)]) for each in dashboard.variables]
    others += [
        (f"annotation {each.name}", [each.expr, _uid(each.source), *each.legends]) for each in dashboard.annotations
    ]
    for what, texts in others:
        for name in _undefined(texts, defined):
            message = f"{what}: ${name} is used and not defined"
            yield Finding(dashboard.file, "", Rule.VARIABLE_UNDEFINED, message)


def _undefined(texts: Sequence[str], defined: set[str]) -> list[str]:
    return sorted({name for text in texts for name in used(text)} - defined)


def _uid(source: Any) -> str:
    uid = source.get("uid") if isinstance(source, dict) else source
    return uid if isinstance(uid, str) else ""
