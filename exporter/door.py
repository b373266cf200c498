"""Who may come in: users by name and password, clients by a name in their certificate; and headers on what goes out."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import bcrypt
from aiohttp import web

from exporter.web_config import WebConfig

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

KNOWN = 100
"""Right passwords that are remembered (as keyed digests), since bcrypt takes a tenth of a second by design."""

OWN_TOKEN = ("POST", "/api/v1/events")
"""Asks for a token of its own in the same header, so that users and passwords cannot be asked for too."""

_NOBODY = "$2b$10$" + "." * 53
"""Checked for users that do not exist, so that it takes as long as for those that do."""


class Door:
    """Middleware over the configuration of the moment."""

    def __init__(self, config: WebConfig) -> None:
        self.config = config
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._key = secrets.token_bytes(32)
        self._checking = asyncio.Lock()

    def guard(self, app: web.Application) -> None:
        """Let nothing of the application be reached but through here."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._pass(request, handler)

        app.middlewares.append(guarded)
        app.on_response_prepare.append(self._add_headers)

    async def _pass(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        tls = self.config.tls_server_config
        if tls is not None and tls.client_allowed_sans and not _named(_certificate(request), tls.client_allowed_sans):
            return web.Response(status=403, text="The certificate's names are not among those that may.\n")
        if (request.method, request.path) != OWN_TOKEN and not await self._may(request):
            headers = {"WWW-Authenticate": 'Basic realm="Grace exporter", charset="UTF-8"'}
            return web.Response(status=401, text="A user's name and password are needed.\n", headers=headers)
        return await handler(request)

    async def _may(self, request: web.Request) -> bool:
        users = self.config.basic_auth_users
        if not users:
            return True
        shown = _name_and_password(request.headers.get("Authorization", ""))
        if shown is None:
            return False
        name, password = shown
        stored = users.get(name, _NOBODY)
        said = "\0".join((name, password, stored)).encode()
        digest = hmac.digest(self._key, said, hashlib.sha256)
        if digest in self._known:
            self._known.move_to_end(digest)
            return True
        # One at a time: guessing passwords must not take the cores from scrapes.
        async with self._checking:
            right = await asyncio.to_thread(_matches, password, stored)
        if right and name in users:
            self._known[digest] = None
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)
            return True
        return False

    async def _add_headers(self, _: web.Request, response: web.StreamResponse) -> None:
        for name, value in self.config.http_server_config.headers.items():
            response.headers[name] = value


def _name_and_password(header: str) -> tuple[str, str] | None:
    """What an `Authorization: Basic …` header shows; None for anything else."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return name, password


def _matches(password: str, stored: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode(), stored.encode())
    except ValueError:
        # Longer than the 72 bytes that bcrypt reads, or with a NUL: nobody's password.
        return False


def _certificate(request: web.Request) -> Any:
    return request.get_extra_info("peercert")


def _named(certificate: Any, allowed: Collection[str]) -> bool:
    return any(value in allowed for _, value in (certificate or {}).get("subjectAltName", ()))
