"""Two lines for an aiohttp service:

from exporter.middleware.aiohttp import instrument
app = web.Application(middlewares=[instrument()])
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry

from exporter.middleware.instruments import UNMATCHED, Stopwatch, tracker_for

CLIENT_WENT_AWAY = 499
"""The code counted when a request is cancelled before it is answered."""


def instrument(*, trust_request_start: bool = False, registry: CollectorRegistry | None = None) -> Middleware:
    """A middleware that counts and times every request. Put it first, so that it sees what the others answer.

    With `trust_request_start`, a request's time begins where `X-Request-Start` says (queueing in the balancer counts):
    only behind a balancer that sets this header itself.
    """
    tracker = tracker_for(registry)

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        stopwatch = Stopwatch(request.headers.get("X-Request-Start") if trust_request_start else None)
        code = 500
        tracker.begin()
        try:
            response = await handler(request)
            code = response.status
            return response
        except web.HTTPException as answer:
            code = answer.status
            raise
        except asyncio.CancelledError:
            code = CLIENT_WENT_AWAY
            raise
        finally:
            tracker.end(request.method, _template(request), code, stopwatch.seconds())

    return measure


def _template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical
