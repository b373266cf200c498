"""The status as people see it: a table in a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from remediator.bands import MetricNow, shown_value
from stack.status import Status

_LOOKS = {
    "good": ("●", "green"),
    "warning": ("▲", "yellow"),
    "critical": ("■", "bold red"),
    "idle": ("○", "dim"),
    "no data": ("·", "dim"),
}
RECENT = 5
"""Rows of incidents and of runs that are shown, the open ones first."""


def table(status: Status, width: int) -> RenderableType:
    """The whole status, the metrics in two columns where the terminal is wide enough."""
    half = (len(status.metrics) + 1) // 2
    parts = (status.metrics[:half], status.metrics[half:]) if width >= 130 else (status.metrics,)
    grid = Table.grid(padding=(0, 3))
    grid.add_row(*(_metrics(part) for part in parts))
    below: list[RenderableType] = [grid, governance_line(status)]
    if status.incidents:
        below.append(_list("incidents", status.incidents, ("metric_id", "resource", "band", "state", "outcome")))
    if status.runs:
        below.append(_list("runs", status.runs, ("playbook_id", "target", "state", "outcome")))
    return Group(*below, *(f"[yellow]{escape(problem)}[/yellow]" for problem in status.problems))


def lines(status: Status) -> Iterator[str]:
    """The same as plain text."""
    for metric in status.metrics:
        yield f"{metric.metric_id:<28} {metric.resource:<12} {shown_value(metric):>26}  {metric.band}"
    yield governance_line(status)
    for incident in _first(status.incidents):
        yield f"incident {_incident(incident)}"
    for run in _first(status.runs):
        yield f"run {_run(run)}"
    yield from status.problems


def changes(before: Status | None, now: Status) -> Iterator[str]:
    """One line for everything that is different from `before`: bands, incidents, runs, governance, problems."""
    bands = {(metric.metric_id, metric.resource): metric.band for metric in before.metrics} if before else {}
    for metric in now.metrics:
        was = bands.get((metric.metric_id, metric.resource))
        if was != metric.band and not (was is None and metric.band == "no data"):
            came = f" (was {was})" if was else ""
            yield f"{metric.metric_id} {metric.resource}: {shown_value(metric)}, {metric.band}{came}"
    yield from _changed("incident", before.incidents if before else (), now.incidents, _incident)
    yield from _changed("run", before.runs if before else (), now.runs, _run)
    if before is None or before.governance != now.governance or before.approvals_pending != now.approvals_pending:
        yield governance_line(now)
    yield from (problem for problem in now.problems if before is None or problem not in before.problems)


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


def _metrics(rows: tuple[MetricNow, ...]) -> Table:
    found = Table(box=None, padding=(0, 1), header_style="dim")
    for title, justify in (("metric", "left"), ("resource", "left"), ("value", "right"), ("band", "left")):
        found.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        sign, style = _LOOKS[row.band]
        found.add_row(row.metric_id, escape(row.resource), shown_value(row), f"[{style}]{sign} {row.band}[/{style}]")
    return found


def _list(title: str, items: tuple[Mapping[str, Any], ...], keys: tuple[str, ...]) -> Table:
    found = Table(box=None, padding=(0, 1), header_style="dim")
    found.add_column(title, no_wrap=True)
    for key in keys:
        found.add_column(key.removesuffix("_id"), no_wrap=True)
    for item in _first(items):
        found.add_row(escape(str(item.get("id"))), *(escape(str(item.get(key) or "")) for key in keys))
    return found


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
    return _printable(said + (f", {item['outcome']}" if item.get("outcome") else ""))


def _run(item: Mapping[str, Any]) -> str:
    said = f"{item.get('id')} {item.get('playbook_id')} on {item.get('target')}: {item.get('state')}"
    return _printable(said + (f", {item['outcome']}" if item.get("outcome") else ""))


def _printable(text: str) -> str:
    """Names come from strangers' labels: nothing in them may steer the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
