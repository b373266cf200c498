"""Two lines for an ASGI service (Starlette, FastAPI, Litestar, Quart …):

from exporter.middleware.asgi import instrument
app = instrument(app)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry

from exporter.middleware.instruments import UNMATCHED, Stopwatch, tracker_for

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
CLIENT_WENT_AWAY = 499


def template(scope: Scope) -> str | None:
    """The route template that FastAPI, Litestar or Starlette left in the scope, or None."""
    for written in (scope.get("path_template"), getattr(scope.get("route"), "path", None)):
        if isinstance(written, str):
            return written
    endpoint = scope.get("endpoint")
    for route in getattr(scope.get("router"), "routes", ()):
        if endpoint is not None and getattr(route, "endpoint", None) is endpoint and isinstance(route.path, str):
            return str(route.path)
    return None


def instrument(
    app: App,
    *,
    trust_request_start: bool = False,
    registry: CollectorRegistry | None = None,
    route: Callable[[Scope], str | None] = template,
) -> App:
    """The app, with every HTTP request counted and timed; websockets and lifespan pass through.

    `route` gives a request's route template after it was handled (None: counted as unmatched, never by its raw path).
    """
    tracker = tracker_for(registry)

    async def measured(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        stopwatch = Stopwatch(_header(scope, b"x-request-start") if trust_request_start else None)
        code = 500

        async def watched_send(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = int(message["status"])
            await send(message)

        tracker.begin()
        try:
            await app(scope, receive, watched_send)
        except asyncio.CancelledError:
            code = CLIENT_WENT_AWAY
            raise
        finally:
            tracker.end(scope["method"], route(scope) or UNMATCHED, code, stopwatch.seconds())

    return measured


def _header(scope: Scope, name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return None
