"""What can be done from the page: every form says why, and leads back to what it changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlsplit

from aiohttp import web

from catalog.model import Tier
from remediator.api import actions, views
from remediator.api.services import Services
from remediator.api.words import BadRequest
from remediator.auth.requests import open_to_all
from remediator.auth.tokens import Identity, Role, digest_of, looks_like_token
from remediator.errors import Refused, Transient
from remediator.ledger import approvals, incidents, runs
from remediator.page.access import fields, form, id_of, reason_of
from remediator.page.keys import PAGE, VISITOR
from remediator.page.pages import audit_page
from remediator.page.render import respond
from remediator.page.session import COOKIE, LIFETIME


@open_to_all
async def sign_in(request: web.Request) -> web.Response:
    return _sign_in(_place(request.query.get("next")))


@open_to_all
async def signed_in(request: web.Request) -> web.Response:
    """A cookie for a token. Who keeps failing is told to wait; the token itself is kept nowhere."""
    page = request.app[PAGE]
    try:
        given = await fields(request)
    except BadRequest as bad:
        return _sign_in("/", f"{bad}.", status=400)
    place, token = _place(given.get("next")), given.get("token", "").strip()
    try:
        identity = await page.services.tokens.find(digest_of(token)) if looks_like_token(token) else None
    except Transient:
        return _sign_in(place, "Tokens cannot be checked now; try again soon.", status=503)
    if identity is None:
        wait = page.throttle.fail(request.remote or "unknown")
        if wait:
            return _sign_in(place, f"Too many failures; try again in {wait} s.", status=429)
        return _sign_in(place, "This token is not known, or was revoked.", status=401)
    if identity.role is Role.ALERTMANAGER:
        return _sign_in(place, "This token is Alertmanager's: it may only post alerts.", status=403)
    response = _to(place)
    response.set_cookie(
        COOKIE,
        page.sessions.seal(digest_of(token)),
        max_age=int(LIFETIME),
        httponly=True,
        samesite="Strict",
        secure=request.headers.get("X-Forwarded-Proto", request.scheme) == "https",
    )
    return response


@form(Role.VIEWER)
async def sign_out(_: web.Request) -> web.Response:
    response = _to("/sign-in")
    response.del_cookie(COOKIE)
    return response


@form(Role.APPROVER)
async def approve(request: web.Request) -> web.Response:
    return await _vote(request, "approve")


@form(Role.APPROVER)
async def reject(request: web.Request) -> web.Response:
    return await _vote(request, "reject")


async def _vote(request: web.Request, word: actions.Vote) -> web.Response:
    """One word on the very plan that was looked at."""
    services, name = request.app[PAGE].services, id_of(request)
    found = await services.parts.ledger.read(lambda connection: approvals.get(connection, name))
    if found is None:
        raise Refused(f"there is no approval {name}", reason="unknown")
    if (await fields(request)).get("digest") != found.plan_digest:
        raise Refused("the plan is not the one you looked at: look again", reason="digest")
    await actions.vote(services, request[VISITOR].identity, name, word, await reason_of(request))
    return _to(f"/approvals/{quote(name, safe='')}")


@form(Role.OPERATOR)
async def acknowledge(request: web.Request) -> web.Response:
    return await _on_incident(request, actions.acknowledge)


@form(Role.OPERATOR)
async def close(request: web.Request) -> web.Response:
    return await _on_incident(request, actions.close)


async def _on_incident(
    request: web.Request, act: Callable[[Services, Identity, str, str], Awaitable[None]]
) -> web.Response:
    services, name = request.app[PAGE].services, id_of(request)
    if await services.parts.ledger.read(lambda connection: incidents.get(connection, name)) is None:
        raise Refused(f"there is no incident {name}", reason="unknown")
    await act(services, request[VISITOR].identity, name, await reason_of(request))
    return _to(f"/incidents/{quote(name, safe='')}")


@form(Role.OPERATOR)
async def cancel(request: web.Request) -> web.Response:
    name, services = id_of(request), request.app[PAGE].services
    place = await _incident_of_run(request, name)
    await actions.cancel(services, request[VISITOR].identity, name, await reason_of(request))
    return _to(place)


@form(Role.OPERATOR)
async def undo(request: web.Request) -> web.Response:
    return await _give_back(request, release=False)


@form(Role.OPERATOR)
async def release(request: web.Request) -> web.Response:
    return await _give_back(request, release=True)


async def _give_back(request: web.Request, *, release: bool) -> web.Response:
    name = id_of(request)
    place = await _incident_of_run(request, name)
    who, reason = request[VISITOR].identity, await reason_of(request)
    await actions.give_back(request.app[PAGE].services, who, name, reason, release=release)
    return _to(place)


@form(Role.OPERATOR)
async def change_governance(request: web.Request) -> web.Response:
    """Only what differs from what is in force is changed, and recorded."""
    page, given = request.app[PAGE], await fields(request)
    in_force = await views.governance(page.services.parts)
    try:
        wanted = {
            "ceiling": str(Tier.parse(given.get("ceiling", ""))),
            "strictness": int(given.get("strictness", "")),
            **{name: given.get(name) == "yes" for name in ("supervised", "frozen", "shadow")},
        }
    except ValueError as error:
        raise BadRequest(f"that is no setting: {error}") from error
    if wanted["strictness"] not in (0, 1, 2, 3):
        raise BadRequest("strictness is 0, 1, 2 or 3")
    changes = {name: value for name, value in wanted.items() if value != in_force[name]}
    if not changes:
        raise BadRequest("nothing was changed")
    await actions.change_settings(page.services, request[VISITOR].identity, changes, await reason_of(request))
    return _to("/governance")


@form(Role.OPERATOR)
async def hold(request: web.Request) -> web.Response:
    given = await fields(request)
    minutes = given.get("minutes", "")
    if not minutes.isdecimal() or not 0 < int(minutes[:9]) * 60 <= actions.LONGEST_HOLD:
        raise BadRequest("a hold lasts 1 minute to 30 days")
    await actions.hold(
        request.app[PAGE].services,
        request[VISITOR].identity,
        given.get("target", ""),
        int(minutes) * 60.0,
        await reason_of(request),
    )
    return _to("/governance")


@form(Role.OPERATOR)
async def unhold(request: web.Request) -> web.Response:
    target = (await fields(request)).get("target", "")
    await actions.unhold(request.app[PAGE].services, request[VISITOR].identity, target, await reason_of(request))
    return _to("/governance")


@form(Role.VIEWER)
async def verify(request: web.Request) -> web.Response:
    return await audit_page(request, verified=await request.app[PAGE].verify())


async def _incident_of_run(request: web.Request, name: str) -> str:
    """Where a run is shown. Raises Refused where there is no such run."""
    ledger = request.app[PAGE].services.parts.ledger
    found = await ledger.read(lambda connection: runs.get(connection, name))
    if found is None:
        raise Refused(f"there is no run {name}", reason="unknown")
    return f"/incidents/{quote(found.incident_id, safe='')}" if found.incident_id else "/incidents"


def _sign_in(place: str, fault: str = "", *, status: int = 200) -> web.Response:
    values = {"visitor": None, "place": "", "waiting": 0, "next": place, "fault": fault}
    return respond("sign_in.html", values, status=status)


def _to(place: str) -> web.Response:
    return web.Response(status=303, headers={"Location": place})


def _place(given: object) -> str:
    """A place on this very site; the first page for anything else."""
    text = given if isinstance(given, str) else ""
    if not text.startswith("/") or text.startswith(("//", "/\\")) or not text.isprintable() or not text.isascii():
        return "/"
    parts = urlsplit(text)
    return "/" if parts.scheme or parts.netloc else text
