"""What can be looked at: one handler a page."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from sqlalchemy.engine import Connection

from catalog.model import Tier
from remediator.api import actions, views
from remediator.auth.tokens import Role
from remediator.bands import MetricNow, queries, rows
from remediator.errors import GraceError, Refused
from remediator.ledger import approvals, incidents, runs
from remediator.model import IncidentState
from remediator.page.access import cursor_of, frame, id_of, shown_to
from remediator.page.keys import PAGE
from remediator.page.render import respond

A_PAGE = 50
LATELY = 5
WANTED = ("escalated", "blind", "waiting_approval", "contained")
"""States in which an incident wants a person."""
MOODS = {
    "step_intended": "step",
    "step_done": "step",
    "step_failed": "fault",
    "incident_opened": "fault",
    "people_told": "fault",
    "incident_closed_by_person": "end",
}


@shown_to(Role.VIEWER)
async def now(request: web.Request) -> web.Response:
    """Bands of every metric, and the incidents, those that want a person first."""
    page = request.app[PAGE]
    parts = page.services.parts
    open_states = tuple(state.value for state in IncidentState if state is not IncidentState.CLOSED)

    def read(connection: Connection) -> tuple[list[views.Json], list[views.Json]]:
        going = incidents.listing(connection, limit=200, states=open_states)
        ended = incidents.listing(connection, limit=LATELY, states=(IncidentState.CLOSED.value,))
        return [views.incident(each) for each in going], [views.incident(each) for each in ended]

    (going, ended), governance, (metrics, problems) = await asyncio.gather(
        parts.ledger.read(read), views.governance(parts), _metrics(request)
    )
    wanted = [each for each in going if each["state"] in WANTED]
    soonest = min((metric.interval for metric in parts.catalog.enabled), default=30.0)
    return respond(
        "now.html",
        {
            **await frame(request, "/"),
            "wanted": wanted,
            "going": [each for each in going if each["state"] not in WANTED],
            "ended": ended,
            "metrics": metrics,
            "problems": problems,
            "governance": governance,
            "every": max(2, round(soonest)),
        },
    )


async def _metrics(request: web.Request) -> tuple[tuple[MetricNow, ...], list[str]]:
    parts = request.app[PAGE].services.parts
    metrics = parts.catalog.enabled
    try:
        answers = await asyncio.gather(*(parts.prometheus.instant(query) for query in queries(metrics)))
    except GraceError as error:
        return (), [str(error)]
    return rows(metrics, [sample for answer in answers for sample in answer]), []


@shown_to(Role.VIEWER)
async def incident_list(request: web.Request) -> web.Response:
    cursor = cursor_of(request)
    found = await request.app[PAGE].services.parts.ledger.read(
        lambda connection: incidents.listing(connection, limit=A_PAGE + 1, cursor=cursor)
    )
    items = [views.incident(each) for each in found[:A_PAGE]]
    return respond(
        "incidents.html", {**await frame(request, "/incidents"), "items": items, "more": _more(items, found)}
    )


@shown_to(Role.VIEWER)
async def incident(request: web.Request) -> web.Response:
    """One incident from alert to outcome: its runs, what was measured, and every entry of the audit log about it."""
    name = id_of(request)

    def read(connection: Connection) -> tuple[views.Json | None, list[views.Json]]:
        whole = views.incident_whole(connection, name)
        asked = []
        for run in whole["runs"] if whole else ():
            approval = approvals.of_run(connection, run["id"])
            if approval is not None and approval.status == "pending":
                asked.append(views.approval_whole(connection, approval))
        return whole, asked

    whole, asked = await request.app[PAGE].services.parts.ledger.read(read)
    if whole is None:
        raise Refused(f"there is no incident {name}", reason="unknown")
    known = ("moment", "run_id", "metric_id", "resource", "at")
    whole["snapshots"] = [
        {**each, "body": {key: value for key, value in each.items() if key not in known}} for each in whole["snapshots"]
    ]
    return respond(
        "incident.html",
        {
            **await frame(request, "/incidents"),
            "incident": whole,
            "approvals": asked,
            "closable": IncidentState(whole["state"]) in actions.CLOSABLE,
            "moods": MOODS,
        },
    )


@shown_to(Role.VIEWER)
async def approval_list(request: web.Request) -> web.Response:
    cursor = cursor_of(request)

    def read(connection: Connection) -> list[views.Json]:
        found = approvals.listing(connection, limit=A_PAGE + 1, cursor=cursor)
        return [views.approval_whole(connection, each) for each in found]

    found = await request.app[PAGE].services.parts.ledger.read(read)
    items = found[:A_PAGE]
    return respond(
        "approvals.html", {**await frame(request, "/approvals"), "items": items, "more": _more(items, found)}
    )


@shown_to(Role.VIEWER)
async def approval(request: web.Request) -> web.Response:
    """The exact plan, and the forms to approve or reject it."""
    name, parts = id_of(request), request.app[PAGE].services.parts

    def read(connection: Connection) -> views.Json | None:
        found = approvals.get(connection, name)
        return views.approval_whole(connection, found) if found else None

    found = await parts.ledger.read(read)
    if found is None:
        raise Refused(f"there is no approval {name}", reason="unknown")
    playbook = parts.catalog.playbooks.get(found.get("playbook_id", ""))
    return respond("approval.html", {**await frame(request, "/approvals"), "approval": found, "playbook": playbook})


@shown_to(Role.VIEWER)
async def playbooks(request: web.Request) -> web.Response:
    parts = request.app[PAGE].services.parts

    def read(connection: Connection) -> list[views.Json]:
        return [
            views.playbook(each, parts.catalog, runs.outcomes(connection, each.id))
            for each in parts.catalog.playbooks.values()
        ]

    return respond("playbooks.html", {**await frame(request, "/playbooks"), "items": await parts.ledger.read(read)})


@shown_to(Role.VIEWER)
async def governance(request: web.Request) -> web.Response:
    parts = request.app[PAGE].services.parts
    return respond(
        "governance.html",
        {
            **await frame(request, "/governance"),
            "governance": await views.governance(parts),
            "tiers": [str(tier) for tier in Tier],
            "targets": sorted(parts.inventory.targets),
        },
    )


@shown_to(Role.VIEWER)
async def audit(request: web.Request) -> web.Response:
    return await audit_page(request, verified=None)


async def audit_page(request: web.Request, *, verified: list[str] | None) -> web.Response:
    """The newest entries; with what a verification found, where one was just made."""
    parts = request.app[PAGE].services.parts
    given = request.query.get("before", "")
    before = int(given) if given.isdecimal() and len(given) < 19 else 0
    found = await parts.ledger.read(
        lambda connection: views.entries(connection, limit=A_PAGE + 1, after=before, newest_first=True)
    )
    entries, head = parts.ledger.head
    return respond(
        "audit.html",
        {
            **await frame(request, "/audit"),
            "items": found[:A_PAGE],
            "more": found[A_PAGE - 1]["seq"] if len(found) > A_PAGE else None,
            "entries": entries,
            "head": head.hex(),
            "checkpoint": parts.checkpointer.last().size,
            "verified": verified,
        },
    )


@shown_to(Role.VIEWER)
async def stream(request: web.Request) -> web.StreamResponse:
    """What changed, for the live view."""
    return await request.app[PAGE].services.stream.respond(request)


def _more(items: list[Any], found: list[Any]) -> str | None:
    return str(items[-1]["id"]) if len(found) > len(items) else None
