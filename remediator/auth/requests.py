"""The checks that stand before every handler: Host, Origin, token, role.

A handler says who may call it, next to its definition:

    @needs(Role.OPERATOR)
    @needs(Role.VIEWER, open_on_loopback=True)
    @open_to_all

A handler that says nothing needs an admin. After the check, `identity_of(request)` (`request[IDENTITY]`) is who asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from remediator.auth.origin import host_allowed, is_loopback, origin_allowed
from remediator.auth.throttle import Throttle
from remediator.auth.tokens import Identity, Role, TokenStore, digest_of, looks_like_token
from remediator.clock import Clock
from remediator.errors import Transient
from remediator.problem import problem

_SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
_ATTRIBUTE = "_grace_access"

IDENTITY = web.RequestKey("identity", Identity)
"""Where a checked request carries who asks; absent where a handler is open and no token was needed."""

AnyHandler = TypeVar("AnyHandler", bound=Callable[..., Awaitable[web.StreamResponse]])


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a handler: a role (None: anybody), and whether this machine's own processes need no token."""

    role: Role | None
    open_on_loopback: bool = False


_ADMINS_ONLY = Access(Role.ADMIN)


def needs(role: Role, *, open_on_loopback: bool = False) -> Callable[[AnyHandler], AnyHandler]:
    """Mark a handler: callers need this role. Where `open_on_loopback`, peers on loopback may read without a token."""

    def mark(handler: AnyHandler) -> AnyHandler:
        setattr(handler, _ATTRIBUTE, Access(role, open_on_loopback))
        return handler

    return mark


def open_to_all(handler: AnyHandler) -> AnyHandler:
    """Mark a handler: anybody may call it (health, metrics)."""
    setattr(handler, _ATTRIBUTE, Access(None))
    return handler


def access_of(handler: object) -> Access:
    """Who may call this handler; only admins, where it does not say."""
    found = getattr(handler, _ATTRIBUTE, _ADMINS_ONLY)
    assert isinstance(found, Access)
    return found


def identity_of(request: web.Request) -> Identity:
    """Who asks. Raises KeyError in a handler that is open to callers without a token: use `request.get(IDENTITY)`."""
    return request[IDENTITY]


def authentication(store: TokenStore, clock: Clock, *, hosts: Collection[str] = ()) -> Middleware:
    """A middleware that lets through only requests their handler's `Access` allows, and sets `request[IDENTITY]`.

    `hosts` are names this server is reached by, besides localhost and addresses. Everything else is answered with a
    problem: 401 (no or an unknown token), 403 (wrong host, foreign page, role too weak), 429 (a peer that keeps
    failing; a valid token is never throttled, for Alertmanager gives up on a 429), 503 (the token store is away).
    """
    throttle = Throttle(clock)
    names = frozenset(name.lower().rstrip(".") for name in hosts)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.http_exception is not None:
            return await handler(request)  # no such path or method: nothing to protect
        misplaced = _misplaced(request, names)
        if misplaced is not None:
            return misplaced
        access = access_of(request.match_info.handler)
        token = _token(request)
        if access.role is None or (token is None and access.open_on_loopback and _reads_locally(request)):
            return await handler(request)
        try:
            identity = await store.find(digest_of(token)) if token and looks_like_token(token) else None
        except Transient:
            return problem(
                503, "Not available", "tokens cannot be checked now; try again soon", headers={"Retry-After": "1"}
            )
        if identity is None:
            return _unknown(throttle.fail(request.remote or "unknown"), given=token is not None)
        if not identity.may(access.role):
            return problem(
                403,
                "Not allowed",
                f"this needs the role {access.role}; the token of {identity.name} is {identity.role}",
            )
        request[IDENTITY] = identity
        return await handler(request)

    return check


def _misplaced(request: web.Request, names: Collection[str]) -> web.Response | None:
    host = request.headers.get(hdrs.HOST, "")
    if not host_allowed(host, names):
        return problem(403, "Unknown host", "this server does not go by the name in the Host header")
    origin = request.headers.get(hdrs.ORIGIN)
    foreign = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and request.method not in _SAFE
    if foreign or (origin is not None and not origin_allowed(origin, host)):
        return problem(403, "Foreign origin", "requests from pages of other sites are refused")
    return None


def _token(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _reads_locally(request: web.Request) -> bool:
    """A reading request of this machine itself, and not through a proxy on it, behind which anybody may stand."""
    forwarded = any(name in request.headers for name in _FORWARDED)
    return request.method in _SAFE and is_loopback(request.remote) and not forwarded


def _unknown(wait: int, *, given: bool) -> web.Response:
    if wait:
        return problem(
            429, "Too many failures", f"try again in {wait} s with a valid token", headers={"Retry-After": str(wait)}
        )
    detail = "this token is not known, or was revoked" if given else "send Authorization: Bearer <token>"
    return problem(401, "Unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="grace"'})
