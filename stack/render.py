"""The status as people see it: a table in a terminal, lines elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from remediator.bands import MetricNow, shown_value
from remediator.words import printable
from stack.status import Status

_LOOKS = {
    "good": ("●", "green"),
    "warning": ("▲", "yellow"),
    "critical": ("■", "bold red"),
    "idle": ("○", "dim"),
    "no data": ("·", "dim"),
}
_BECAME = {
    "healed": "green",
    "waiting approval": "yellow",
    "held": "yellow",
    "escalated": "bold red",
    "failed": "red",
    "undo failed": "bold red",
}
TWO_COLUMNS = 146
"""Characters of a terminal in which the metrics are shown in two columns."""
RECENT = 5
"""Rows of incidents and of runs that are shown, the open ones first."""


def table(status: Status, width: int, height: int | None = None) -> RenderableType:
    """The whole status, the metrics in two columns where the terminal is wide enough.

    Where it is not as high as that, metrics that are good or idle are only counted, so that all else can be seen.
    """
    below: list[RenderableType] = [governance_line(status)]
    if status.incidents:
        below.append(_list("incidents", [_incident_row(item) for item in _first(status.incidents)]))
    if status.runs:
        below.append(_list("runs", [_run_row(item) for item in _first(status.runs)]))
    below += [f"[yellow]{escape(printable(problem))}[/yellow]" for problem in status.problems]
    columns = 2 if width >= TWO_COLUMNS else 1
    room = None if height is None else height - _lines_of(status)
    return Group(*_bands(status.metrics, columns, room), *below)


def _lines_of(status: Status) -> int:
    """How many lines everything but the metrics takes."""
    lists = sum(1 + len(_first(items)) for items in (status.incidents, status.runs) if items)
    return 1 + lists + len(status.problems)


def _bands(metrics: Sequence[MetricNow], columns: int, room: int | None) -> Iterator[RenderableType]:
    counted: list[MetricNow] = []
    if room is not None and 1 + math.ceil(len(metrics) / columns) > room:
        counted = [metric for metric in metrics if metric.band in ("good", "idle")]
        metrics = [metric for metric in metrics if metric not in counted]
    half = math.ceil(len(metrics) / columns)
    parts = [metrics[start : start + half] for start in range(0, len(metrics), half)] if metrics else []
    if parts:
        grid = Table.grid(padding=(0, 3))
        grid.add_row(*(_metrics(part) for part in parts))
        yield grid
    said = [(band, sum(metric.band == band for metric in counted)) for band in ("good", "idle")]
    if counted:
        yield " " + ", ".join(
            f"[{_LOOKS[band][1]}]{_LOOKS[band][0]}[/{_LOOKS[band][1]}] {count} {band}" for band, count in said if count
        )


def lines(status: Status) -> Iterator[str]:
    """The same as plain text."""
    for metric in status.metrics:
        yield f"{metric.metric_id:<28} {printable(metric.resource):<12} {shown_value(metric):>26}  {metric.band}"
    yield governance_line(status)
    for incident in _first(status.incidents):
        yield f"incident {_incident(incident)}"
    for run in _first(status.runs):
        yield f"run {_run(run)}"
    yield from map(printable, status.problems)


def changes(before: Status | None, now: Status) -> Iterator[str]:
    """One line for everything that is different from `before`: bands, incidents, runs, governance, problems."""
    bands = {(metric.metric_id, metric.resource): metric.band for metric in before.metrics} if before else {}
    for metric in now.metrics:
        was = bands.get((metric.metric_id, metric.resource))
        if was != metric.band and not (was is None and metric.band == "no data"):
            came = f" (was {was})" if was else ""
            yield f"{metric.metric_id} {printable(metric.resource)}: {shown_value(metric)}, {metric.band}{came}"
    yield from _changed("incident", before.incidents if before else (), now.incidents, _incident)
    yield from _changed("run", before.runs if before else (), now.runs, _run)
    if before is None or before.governance != now.governance or before.approvals_pending != now.approvals_pending:
        yield governance_line(now)
    yield from (printable(problem) for problem in now.problems if before is None or problem not in before.problems)


def governance_line(status: Status) -> str:
    """`governance: ceiling tier_2, strictness 0, 1 approval waits`."""
    said = status.governance
    if not said:
        return "governance: not known, the remediator does not answer"
    words = [f"ceiling {said.get('ceiling')}", f"strictness {said.get('strictness')}"]
    words += [word for word in ("supervised", "frozen") if said.get(word)]
    if holds := said.get("holds"):
        words.append(f"{len(holds)} on hold")
    waiting = status.approvals_pending
    words.append(f"{waiting} waiting for approval" if waiting else "nothing waits for approval")
    return "governance: " + ", ".join(words)


def _metrics(rows: Sequence[MetricNow]) -> Table:
    found = Table(box=None, padding=(0, 1), header_style="dim")
    for title, justify in (("metric", "left"), ("resource", "left"), ("value", "right"), ("band", "left")):
        found.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        found.add_row(row.metric_id, escape(printable(row.resource)), shown_value(row), f"{_sign(row.band)} {row.band}")
    return found


def _list(title: str, rows: Sequence[tuple[str, str, str]]) -> Table:
    """Identifiers whole, for they are what commands take; what they are about gives way where it is narrow."""
    found = Table(box=None, padding=(0, 1), header_style="dim")
    found.add_column(title, width=max(len(row[0]) for row in rows))
    found.add_column()
    found.add_column(width=max(len(row[2]) for row in rows))
    for identifier, what, became in rows:
        about = Text.from_markup(what, overflow="ellipsis")
        about.no_wrap = True
        found.add_row(escape(identifier), about, Text(became, style=_BECAME.get(became, "")))
    return found


def _incident_row(item: Mapping[str, Any]) -> tuple[str, str, str]:
    what = escape(printable(f"{item.get('metric_id')} {item.get('resource')}"))
    return str(item.get("id")), f"{_sign(str(item.get('band')))} {what}", _became(item)


def _run_row(item: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(item.get("id")), escape(printable(f"{item.get('playbook_id')} on {item.get('target')}")), _became(item)


def _became(item: Mapping[str, Any]) -> str:
    """What came of an incident or a run, or where it stands."""
    return str(item.get("outcome") or item.get("state")).replace("_", " ")


def _sign(band: str) -> str:
    sign, style = _LOOKS.get(band, _LOOKS["no data"])
    return f"[{style}]{sign}[/{style}]"


def _first(items: tuple[Mapping[str, Any], ...]) -> list[Mapping[str, Any]]:
    return sorted(items, key=lambda item: bool(item.get("closed_at") or item.get("ended_at")))[:RECENT]


def _changed(
    kind: str, before: tuple[Mapping[str, Any], ...], now: tuple[Mapping[str, Any], ...], shown: Any
) -> Iterator[str]:
    was = {item.get("id"): shown(item) for item in before}
    for item in reversed(now):
        if was.get(item.get("id")) != shown(item):
            yield f"{kind} {shown(item)}"


def _incident(item: Mapping[str, Any]) -> str:
    said = f"{item.get('id')} {item.get('metric_id')} {item.get('resource')} {item.get('band')}: {item.get('state')}"
    return printable(said + (f", {item['outcome']}" if item.get("outcome") else ""))


def _run(item: Mapping[str, Any]) -> str:
    said = f"{item.get('id')} {item.get('playbook_id')} on {item.get('target')}: {item.get('state')}"
    outcome = item.get("outcome")
    return printable(said + (f", {outcome}" if outcome and outcome != item.get("state") else ""))
