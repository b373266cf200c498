"""Reading and changing, one handler a route. `ROUTES` is the whole API; the order is that of the documentation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from aiohttp import web
from sqlalchemy.engine import Connection

from catalog.model import Tier
from remediator import crash
from remediator.api import actions, views, words
from remediator.api.services import SERVICES
from remediator.api.words import BadRequest
from remediator.auth.requests import identity_of, needs
from remediator.auth.tokens import Identity, NameTaken, Role, digest_of, is_name, new_token
from remediator.errors import GraceError, Refused, Transient
from remediator.ledger import alerts, approvals, incidents, runs, snapshots
from remediator.ledger.engine import LedgerUnavailable, Tx
from remediator.pipeline import act, hand
from remediator.pipeline.parts import Parts
from remediator.problem import problem, status_of
from remediator.webhook.payload import Alert, Payload, PayloadError, parse

T = TypeVar("T")
MOST = 500
"""Largest page of a list."""
LARGE = 256 * 1024
"""Bytes of a payload from which on it is parsed beside the event loop."""


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what went wrong into a problem document."""
    try:
        return await handler(request)
    except BadRequest as bad:
        return problem(400, "Bad request", str(bad))
    except Refused as refusal:
        return problem(status_of(refusal), "Refused", str(refusal))
    except (LedgerUnavailable, Transient) as error:
        return problem(503, "Not available", str(error), headers={"Retry-After": "1"})
    except GraceError as error:
        return problem(409, "Not possible", str(error))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return problem(error.status, error.reason, error.text or "")


# Alerts


@needs(Role.ALERTMANAGER)
async def post_alerts(request: web.Request) -> web.Response:
    """Accept a notification durably, then 202; 503 when it could not be stored; 4xx for what is none."""
    services = request.app[SERVICES]
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        services.counted("quarantined", 1)
        limit = services.parts.config.max_body_bytes
        return problem(413, "Too large", f"a payload may have {limit} bytes (max_body_bytes)")
    try:
        payload = await _parsed(body, request.headers.get("Content-Type"))
    except PayloadError as bad:
        why = f"{bad.title}: {bad.detail}"
        await services.parts.ledger.write(lambda tx: alerts.quarantine_body(tx, why, body))
        services.counted("quarantined", 1)
        return problem(bad.status, bad.title, bad.detail)
    rows = [_row(alert) for alert in payload.alerts]
    stored = await services.intake.accept(rows)
    crash.point("after_accept")
    services.counted("accepted", stored)
    services.counted("deduplicated", len(rows) - stored)
    services.parts.wake()
    return web.json_response({"accepted": stored, "duplicates": len(rows) - stored}, status=202)


async def _parsed(body: bytes, content_type: str | None) -> Payload:
    if len(body) < LARGE:
        return parse(body, content_type)
    # Long enough to hold up everybody else's request.
    return await asyncio.to_thread(parse, body, content_type)


def _row(alert: Alert) -> dict[str, Any]:
    return {
        "key": alert.key,
        "fingerprint": alert.fingerprint,
        "status": str(alert.status),
        "starts_at": alert.starts_at,
        "ends_at": alert.ends_at,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "source": "webhook",
    }


# Incidents


@needs(Role.VIEWER)
async def list_incidents(request: web.Request) -> web.Response:
    """Incidents, newest first."""
    limit, cursor, states = _page(request)
    found = await _read(
        request, lambda connection: incidents.listing(connection, limit=limit + 1, cursor=cursor, states=states)
    )
    return _listed([views.incident(each) for each in found], limit)


@needs(Role.VIEWER)
async def show_incident(request: web.Request) -> web.Response:
    """One incident with its runs, snapshots and whole timeline, as the audit log has it."""
    name = await _id(request, incidents.find, "incident")
    return web.json_response(await _read(request, lambda connection: views.incident_whole(connection, name)))


@needs(Role.OPERATOR)
async def ack_incident(request: web.Request) -> web.Response:
    """A person takes it: nothing more is done by Grace, and it ends when its metric is good again."""
    who, reason = identity_of(request), _note(await _body(request))
    name = await _id(request, incidents.find, "incident")
    await actions.acknowledge(request.app[SERVICES], who, name, str(reason))
    return web.json_response(await _read(request, lambda connection: views.incident_whole(connection, name)))


@needs(Role.OPERATOR)
async def close_incident(request: web.Request) -> web.Response:
    """A person ends an incident; plans that wait for it are void."""
    who, reason = identity_of(request), _reason(await _body(request))
    name = await _id(request, incidents.find, "incident")
    await actions.close(request.app[SERVICES], who, name, reason)
    return web.json_response(await _read(request, lambda connection: views.incident_whole(connection, name)))


# Runs


@needs(Role.VIEWER)
async def list_runs(request: web.Request) -> web.Response:
    """Executions, newest first; `?all=true` also lists plans that never began (held, refused, expired)."""
    limit, cursor, states = _page(request)
    everything = request.query.get("all", "").lower() in ("1", "true", "yes")

    def read(connection: Connection) -> list[views.Json]:
        found = runs.listing(connection, limit=limit + 1, cursor=cursor, states=states, everything=everything)
        return [views.run_whole(connection, each) for each in found]

    return _listed(await _read(request, read), limit)


@needs(Role.VIEWER)
async def show_run(request: web.Request) -> web.Response:
    """One run with its steps."""
    name = await _id(request, runs.find, "run")
    return await _run_document(request, name)


@needs(Role.OPERATOR)
async def start_run(request: web.Request) -> web.Response:
    """Run a playbook by hand, under the same governance; `dry_run` only tells what it would do."""
    services, who, body = request.app[SERVICES], identity_of(request), await _body(request)
    playbook, target = _text(body, "playbook"), _text(body, "target")
    if body.get("dry_run"):
        rehearsal = await hand.rehearse(services.parts, playbook, target)
        return web.json_response(
            {
                "dry_run": True,
                "playbook_id": playbook,
                "target": rehearsal.plan.target,
                "tier": str(rehearsal.plan.tier),
                "digest": rehearsal.plan.digest,
                "steps": [step.as_json() for step in rehearsal.plan.steps],
                "verdict": rehearsal.decision.verdict.value,
                "reasons": [reason.value for reason in rehearsal.decision.reasons],
                "detail": dict(rehearsal.decision.detail),
                "approvals_needed": rehearsal.decision.approvals_needed,
                "confidence": round(rehearsal.confidence, 6),
            }
        )
    reason = _note(body) or "started by hand"
    run_id = await actions.start(services, who, playbook, target, reason)
    return await _run_document(request, run_id, status=201)


@needs(Role.OPERATOR)
async def cancel_run(request: web.Request) -> web.Response:
    """Stop a run before its next step."""
    services, who, body = request.app[SERVICES], identity_of(request), await _body(request)
    name = await _id(request, runs.find, "run")
    await actions.cancel(services, who, name, _note(body))
    return await _run_document(request, name)


@needs(Role.OPERATOR)
async def undo_run(request: web.Request) -> web.Response:
    """Take back now what a run changed, and verify that."""
    return await _give_back(request, release=False)


@needs(Role.OPERATOR)
async def release_run(request: web.Request) -> web.Response:
    """Give back what a run keeps."""
    return await _give_back(request, release=True)


async def _give_back(request: web.Request, *, release: bool) -> web.Response:
    services, who, body = request.app[SERVICES], identity_of(request), await _body(request)
    name = await _id(request, runs.find, "run")
    reason = _reason(body) if release else _note(body) or "undone by hand"
    await actions.give_back(services, who, name, reason, release=release)
    return await _run_document(request, name, status=202)


# Approvals


@needs(Role.VIEWER)
async def list_approvals(request: web.Request) -> web.Response:
    """Approvals with the exact plan, newest first."""
    limit, cursor, states = _page(request)

    def read(connection: Connection) -> list[views.Json]:
        found = approvals.listing(connection, limit=limit + 1, cursor=cursor, states=states)
        return [views.approval_whole(connection, each) for each in found]

    return _listed(await _read(request, read), limit)


@needs(Role.VIEWER)
async def show_approval(request: web.Request) -> web.Response:
    """One approval with the exact plan and every vote."""
    name = await _id(request, approvals.find, "approval")
    return await _approval_document(request, name)


@needs(Role.APPROVER)
async def approve(request: web.Request) -> web.Response:
    """One word for the plan; the answer is the approval as it then is."""
    return await _vote(request, "approve")


@needs(Role.APPROVER)
async def reject(request: web.Request) -> web.Response:
    """One word against the plan, which ends it."""
    return await _vote(request, "reject")


async def _vote(request: web.Request, vote: actions.Vote) -> web.Response:
    who, reason = identity_of(request), _reason(await _body(request))
    name = await _id(request, approvals.find, "approval")
    await actions.vote(request.app[SERVICES], who, name, vote, reason)
    return await _approval_document(request, name)


# Playbooks, governance, holds, tokens


@needs(Role.VIEWER)
async def list_playbooks(request: web.Request) -> web.Response:
    """Every playbook, what it answers, and how often it helped."""
    catalog = request.app[SERVICES].parts.catalog

    def read(connection: Connection) -> list[views.Json]:
        return [
            views.playbook(each, catalog, runs.outcomes(connection, each.id)) for each in catalog.playbooks.values()
        ]

    return web.json_response({"items": await _read(request, read), "next_cursor": None})


@needs(Role.VIEWER)
async def show_playbook(request: web.Request) -> web.Response:
    """One playbook and its track record."""
    catalog = request.app[SERVICES].parts.catalog
    found = catalog.playbooks.get(request.match_info["id"])
    if found is None:
        raise Refused(f"there is no playbook {request.match_info['id']}", reason="unknown")
    record = await _read(request, lambda connection: runs.outcomes(connection, found.id))
    return web.json_response(views.playbook(found, catalog, record))


@needs(Role.VIEWER)
async def show_governance(request: web.Request) -> web.Response:
    """What is in force, what waits for confirmation, which targets are held."""
    return web.json_response(await _governance(request))


@needs(Role.OPERATOR)
async def put_governance(request: web.Request) -> web.Response:
    """Change settings: operators may tighten, only admins loosen; always with a reason."""
    who, body = identity_of(request), await _body(request)
    reason = _reason(body)
    await actions.change_settings(request.app[SERVICES], who, _settings_of(body), reason)
    return web.json_response(await _governance(request))


@needs(Role.ADMIN)
async def confirm_policy(request: web.Request) -> web.Response:
    """Put a changed policy file in force that loosens something."""
    who, reason = identity_of(request), _reason(await _body(request))
    await actions.confirm_policy(request.app[SERVICES], who, reason)
    return web.json_response(await _governance(request))


@needs(Role.OPERATOR)
async def put_hold(request: web.Request) -> web.Response:
    """Nothing new starts on this target for so many seconds."""
    who, body = identity_of(request), await _body(request)
    target, reason = _named(request, "target"), _reason(body)
    seconds = body.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= actions.LONGEST_HOLD:
        raise BadRequest("`seconds` must be a number above 0, at most 30 days")
    await actions.hold(request.app[SERVICES], who, target, float(seconds), reason)
    return web.json_response(await _governance(request))


@needs(Role.OPERATOR)
async def delete_hold(request: web.Request) -> web.Response:
    """End a hold."""
    who, body = identity_of(request), await _body(request)
    target, reason = _named(request, "target"), _note(body)
    await actions.unhold(request.app[SERVICES], who, target, reason)
    return web.json_response(await _governance(request))


@needs(Role.ADMIN)
async def list_tokens(request: web.Request) -> web.Response:
    """Every token by name and role, revoked ones too; never the token."""
    found = await request.app[SERVICES].tokens.list()
    items = [
        {
            "name": each.name,
            "role": each.role.value,
            "groups": list(each.groups),
            "created_at": each.created_at,
            "revoked_at": each.revoked_at,
        }
        for each in found
    ]
    return web.json_response({"items": items, "next_cursor": None})


@needs(Role.ADMIN)
async def add_token(request: web.Request) -> web.Response:
    """The only answer that ever carries a token."""
    who, body = identity_of(request), await _body(request)
    name, role = _text(body, "name"), _text(body, "role")
    if not is_name(name):
        raise BadRequest("a name has 1 to 64 letters, digits and _.@-, beginning with a letter or digit")
    if role not in {each.value for each in Role}:
        raise BadRequest(f"there is no role {role!r}; there are {', '.join(Role)}")
    token, groups = new_token(), _groups(body.get("groups"))
    try:
        await request.app[SERVICES].tokens.add(Identity(name, Role(role), groups), digest_of(token), by=who.name)
    except NameTaken:
        raise Refused(f"{name} has a token already; revoke it first", reason="taken") from None
    return web.json_response({"name": name, "role": role, "groups": list(groups), "token": token}, status=201)


def _groups(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > 100 or not all(isinstance(each, str) and each for each in value):
        raise BadRequest("`groups` must be a list of names: groups of targets, as the inventory calls them")
    return tuple(dict.fromkeys(words.plain("groups", each) for each in value))


@needs(Role.ADMIN)
async def revoke_token(request: web.Request) -> web.Response:
    """End a token, at once."""
    name = _named(request, "name")
    if not await request.app[SERVICES].tokens.revoke(name, by=identity_of(request).name):
        raise Refused(f"there is no active token of the name {name!r}", reason="unknown")
    return web.json_response({"name": name, "revoked": True})


# Audit, snapshots, status, stream


@needs(Role.VIEWER)
async def list_audit(request: web.Request) -> web.Response:
    """Entries, newest first; `?cursor=SEQ` goes on below it; `?incident=ID` those of one incident."""
    limit, cursor, _ = _page(request)
    before = int(cursor) if cursor and cursor.isdecimal() else 0
    incident_id = _asked(request, "incident")
    found = await _read(
        request,
        lambda connection: views.entries(
            connection, limit=limit + 1, after=before, incident_id=incident_id, newest_first=True
        ),
    )
    more = str(found[limit - 1]["seq"]) if len(found) > limit else None
    return web.json_response({"items": found[:limit], "next_cursor": more})


@needs(Role.VIEWER)
async def show_checkpoint(request: web.Request) -> web.Response:
    """A signed note of the chain's head, made now."""
    parts = request.app[SERVICES].parts
    await act.checkpoint(parts)
    note = parts.checkpointer.signer.sign(parts.checkpointer.last())
    return web.Response(text=note, content_type="text/plain")


@needs(Role.VIEWER)
async def export_audit(request: web.Request) -> web.StreamResponse:
    """Every entry as JSON Lines, oldest first."""
    response = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
    await response.prepare(request)
    async for line in _export(request.app[SERVICES].parts):
        await response.write(line)
    return response


async def _export(parts: Parts) -> AsyncIterator[bytes]:
    after = 0
    while True:
        page = await parts.ledger.read(partial(_entries_after, after))
        if not page:
            return
        yield b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in page)
        after = page[-1]["seq"]


def _entries_after(after: int, connection: Connection) -> list[views.Json]:
    return views.entries(connection, limit=1000, after=after)


@needs(Role.VIEWER)
async def list_snapshots(request: web.Request) -> web.Response:
    """The latest snapshot of every metric and resource."""
    return web.json_response({"items": await _read(request, snapshots.latest), "next_cursor": None})


@needs(Role.VIEWER, open_on_loopback=True)
async def show_status(request: web.Request) -> web.Response:
    """How Grace stands: incidents, runs, governance, audit, and whether its peers answer."""
    return web.json_response(await request.app[SERVICES].status.document())


@needs(Role.VIEWER)
async def stream(request: web.Request) -> web.StreamResponse:
    """What changes, as server-sent events: `event: incident|run|approval|governance`, `data: {"id"}`."""
    return await request.app[SERVICES].stream.respond(request)


@needs(Role.VIEWER, open_on_loopback=True)
async def describe(_: web.Request) -> web.Response:
    """This API, as an OpenAPI 3.1 document."""
    from remediator.api.openapi import document  # few ask for it, and each process would keep it

    return web.json_response(document(ROUTES))


ROUTES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/api/v1/alerts", post_alerts),
    ("GET", "/api/v1/incidents", list_incidents),
    ("GET", "/api/v1/incidents/{id}", show_incident),
    ("POST", "/api/v1/incidents/{id}/ack", ack_incident),
    ("POST", "/api/v1/incidents/{id}/close", close_incident),
    ("GET", "/api/v1/runs", list_runs),
    ("POST", "/api/v1/runs", start_run),
    ("GET", "/api/v1/runs/{id}", show_run),
    ("POST", "/api/v1/runs/{id}/cancel", cancel_run),
    ("POST", "/api/v1/runs/{id}/undo", undo_run),
    ("POST", "/api/v1/runs/{id}/release", release_run),
    ("GET", "/api/v1/approvals", list_approvals),
    ("GET", "/api/v1/approvals/{id}", show_approval),
    ("POST", "/api/v1/approvals/{id}/approve", approve),
    ("POST", "/api/v1/approvals/{id}/reject", reject),
    ("GET", "/api/v1/playbooks", list_playbooks),
    ("GET", "/api/v1/playbooks/{id}", show_playbook),
    ("GET", "/api/v1/governance", show_governance),
    ("PUT", "/api/v1/governance", put_governance),
    ("POST", "/api/v1/governance/confirm", confirm_policy),
    ("PUT", "/api/v1/holds/{target}", put_hold),
    ("DELETE", "/api/v1/holds/{target}", delete_hold),
    ("GET", "/api/v1/tokens", list_tokens),
    ("POST", "/api/v1/tokens", add_token),
    ("DELETE", "/api/v1/tokens/{name}", revoke_token),
    ("GET", "/api/v1/audit", list_audit),
    ("GET", "/api/v1/audit/checkpoint", show_checkpoint),
    ("GET", "/api/v1/audit/export", export_audit),
    ("GET", "/api/v1/status", show_status),
    ("GET", "/api/v1/stream", stream),
    ("GET", "/api/v1/openapi.json", describe),
    ("GET", "/api/metrics", list_snapshots),
)


# What handlers share.


async def _read(request: web.Request, function: Callable[[Connection], T]) -> T:
    return await request.app[SERVICES].parts.ledger.read(function)


async def _write(request: web.Request, function: Callable[[Tx], T]) -> T:
    return await request.app[SERVICES].parts.ledger.write(function)


async def _id(request: web.Request, find: Callable[[Connection, str], list[str]], what: str) -> str:
    """The whole id that the path's id or unique beginning of one means."""
    given = _named(request, "id")
    found = await _read(request, lambda connection: find(connection, given))
    if given in found:
        return given
    if len(found) > 1:
        raise Refused(f"several {what}s begin with {given}", reason="ambiguous")
    if not found:
        raise Refused(f"there is no {what} {given}", reason="unknown")
    return found[0]


async def _run_document(request: web.Request, name: str, *, status: int = 200) -> web.Response:
    def read(connection: Connection) -> views.Json | None:
        found = runs.get(connection, name)
        return views.run_whole(connection, found) if found else None

    return web.json_response(await _read(request, read), status=status)


async def _approval_document(request: web.Request, name: str) -> web.Response:
    def read(connection: Connection) -> views.Json | None:
        found = approvals.get(connection, name)
        return views.approval_whole(connection, found) if found else None

    return web.json_response(await _read(request, read))


async def _governance(request: web.Request) -> views.Json:
    return await views.governance(request.app[SERVICES].parts)


def _page(request: web.Request) -> tuple[int, str | None, tuple[str, ...]]:
    text = request.query.get("limit", "50")
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise BadRequest(f"`limit` must be a number from 1 to {MOST}")
    states = tuple(
        part for value in request.query.getall("state", []) for part in words.plain("state", value).split(",") if part
    )
    return int(text), _asked(request, "cursor"), states


def _listed(items: list[views.Json], limit: int) -> web.Response:
    more = items[limit - 1]["id"] if len(items) > limit else None
    return web.json_response({"items": items[:limit], "next_cursor": more})


async def _body(request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body is not JSON") from error
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body


def _named(request: web.Request, name: str) -> str:
    """A part of the path."""
    return words.plain(name, request.match_info[name])


def _asked(request: web.Request, name: str) -> str | None:
    """A parameter of the query; None where it is absent or empty."""
    return words.plain(name, request.query.get(name, "")) or None


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value or len(value) > words.LONGEST:
        raise BadRequest(f"`{name}` must be a text")
    return words.plain(name, value)


def _reason(body: dict[str, Any]) -> str:
    return words.reason(body.get("reason"))


def _note(body: dict[str, Any]) -> str:
    return words.note(body.get("reason"))


def _settings_of(body: dict[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if "ceiling" in body:
        try:
            changes["ceiling"] = str(Tier.parse(body["ceiling"]))
        except ValueError as error:
            raise BadRequest(f"`ceiling`: {error}") from error
    if "strictness" in body:
        value = body["strictness"]
        if isinstance(value, bool) or value not in (0, 1, 2, 3):
            raise BadRequest("`strictness` must be 0, 1, 2 or 3")
        changes["strictness"] = value
    for name in ("supervised", "frozen", "shadow"):
        if name in body:
            if not isinstance(body[name], bool):
                raise BadRequest(f"`{name}` must be true or false")
            changes[name] = body[name]
    unknown = set(body) - set(changes) - {"reason"}
    if unknown:
        raise BadRequest(f"unknown: {', '.join(sorted(unknown))}")
    if not changes:
        raise BadRequest("nothing to change: give ceiling, strictness, supervised, frozen or shadow")
    return changes
