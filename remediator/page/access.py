"""What stands before every page: a session, a role, and for forms that they are ours."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from urllib.parse import quote

from aiohttp import web

from remediator.api import words
from remediator.api.words import BadRequest
from remediator.auth.requests import open_to_all
from remediator.auth.tokens import Role
from remediator.errors import GraceError, Refused, Transient
from remediator.ledger import approvals
from remediator.ledger.engine import LedgerUnavailable
from remediator.page.keys import PAGE, VISITOR
from remediator.page.render import respond
from remediator.page.session import COOKIE, Visitor
from remediator.problem import status_of

LARGEST_FORM = 64 * 1024
"""Bytes; none of our forms comes near."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def shown_to(role: Role) -> Callable[[Handler], Handler]:
    """A page for who is signed in and has this role; others are asked to sign in, or told what is missing.

    The bearer tokens of the API do not count here, nor the page's cookie there. Host and Origin are checked before.
    """

    def mark(handler: Handler) -> Handler:
        @open_to_all
        @wraps(handler)
        async def checked(request: web.Request) -> web.StreamResponse:
            try:
                visitor = await _visitor(request)
                if visitor is None:
                    return sign_in_first(request)
                request[VISITOR] = visitor
                if not visitor.identity.may(role):
                    detail = f"This needs the role {role}; {visitor.identity.name} is {visitor.identity.role}."
                    return await refused(request, "Not allowed", detail, 403)
                return await handler(request)
            except BadRequest as bad:
                return await refused(request, "Not understood", str(bad), 400)
            except Refused as refusal:
                return await refused(request, "Refused", str(refusal), status_of(refusal))
            except (LedgerUnavailable, Transient) as error:
                return await refused(request, "Not available", f"{error}; try again soon", 503)
            except GraceError as error:
                return await refused(request, "Not possible", str(error), 409)

        return checked

    return mark


def form(role: Role) -> Callable[[Handler], Handler]:
    """What a form posts, from who is signed in and has this role, and only from a form of ours."""

    def mark(handler: Handler) -> Handler:
        @shown_to(role)
        @wraps(handler)
        async def checked(request: web.Request) -> web.StreamResponse:
            given = (await fields(request)).get("csrf", "").encode("utf-8", "replace")
            if not hmac.compare_digest(given, request[VISITOR].session.csrf.encode()):
                return await refused(request, "Not from here", "This form is of another session: reload it.", 403)
            return await handler(request)

        return checked

    return mark


def sign_in_first(request: web.Request) -> web.Response:
    """To the sign-in, and afterwards back to what was asked for (pages only: a lost form is not sent again)."""
    wanted = request.path_qs if request.method == "GET" and request.path != "/stream" else "/"
    if request.path == "/stream":
        return web.Response(status=401)
    return web.Response(status=303, headers={"Location": f"/sign-in?next={quote(wanted, safe='/')}"})


async def refused(request: web.Request, title: str, detail: str, status: int) -> web.Response:
    """A page that says why not."""
    back = request.path.rpartition("/")[0] if request.method == "POST" else "/"
    values = {"title": title, "detail": detail, "back": back or "/", "place": "", "waiting": 0}
    return respond("refused.html", {**values, "visitor": request.get(VISITOR)}, status=status)


async def frame(request: web.Request, place: str) -> dict[str, object]:
    """What every page shows besides its own: who is signed in, and how much waits for people."""
    waiting = await request.app[PAGE].services.parts.ledger.read(approvals.pending_count)
    return {
        "visitor": request[VISITOR],
        "place": place,
        "waiting": waiting,
        "now": request.app[PAGE].services.parts.clock.now(),
        "operator": Role.OPERATOR,
        "approver": Role.APPROVER,
    }


async def fields(request: web.Request) -> Mapping[str, str]:
    """What a form sent. Raises BadRequest for a body that none of our forms sends."""
    length = request.content_length
    if request.content_type != "application/x-www-form-urlencoded" or length is None or length > LARGEST_FORM:
        raise BadRequest("this is no form of ours")
    return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}


async def reason_of(request: web.Request) -> str:
    """Why, in the person's words. Raises BadRequest where it does not say."""
    return words.reason((await fields(request)).get("reason"))


def id_of(request: web.Request) -> str:
    """The id in the address. Raises BadRequest where it is none."""
    return words.plain("id", request.match_info["id"])


def cursor_of(request: web.Request) -> str | None:
    """Where the list goes on. Raises BadRequest where that is no text."""
    return words.plain("cursor", request.query.get("cursor", "")) or None


async def _visitor(request: web.Request) -> Visitor | None:
    page = request.app[PAGE]
    session = page.sessions.opened(request.cookies.get(COOKIE))
    if session is None:
        return None
    identity = await page.services.tokens.find(session.digest)
    return None if identity is None or identity.role is Role.ALERTMANAGER else Visitor(identity, session)
