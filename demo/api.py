"""One API shard: requests that wait for a dependency and compute a little."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import time
from pathlib import Path

from aiohttp import web

from demo.faults import FaultFile
from exporter.middleware.aiohttp import instrument

UPSTREAM_SECONDS = 0.005
"""How long the dependency takes when it is well."""
CPU_SECONDS = 0.0015
"""CPU time of one request when the shard is well."""

_BLOCK = bytes(64 * 1024)


def burn(seconds: float) -> str:
    """Compute for that many seconds of this thread's CPU time, and return what came out (64 hex digits)."""
    until = time.thread_time() + seconds
    digest = hashlib.sha256()
    while time.thread_time() < until:
        digest.update(_BLOCK)
    return digest.hexdigest()


class Shard:
    """What one worker process of a shard does with a request, under the faults that are in the workload."""

    def __init__(self, name: str, faults: FaultFile, started_at: float) -> None:
        self.name = name
        self._faults = faults
        self._started_at = started_at

    async def item(self, request: web.Request) -> web.Response:
        """One part of a page."""
        await asyncio.sleep(self._upstream_seconds())
        digest = burn(self._cpu())
        if self._breaks():
            raise web.HTTPInternalServerError(text="the cache of this worker is broken")
        return web.json_response({"shard": self.name, "item": request.match_info["item"], "digest": digest})

    async def health(self, _: web.Request) -> web.Response:
        """200 as long as this worker answers at all."""
        return web.json_response({"shard": self.name})

    def _upstream_seconds(self) -> float:
        fault = self._faults.get("slow-api")
        return fault.number("upstream_seconds") if fault else UPSTREAM_SECONDS

    def _cpu(self) -> float:
        fault = self._faults.get("cpu")
        extra = fault.number("cpu_seconds") if fault and fault.word("shard") == self.name else 0.0
        return CPU_SECONDS + extra

    def _breaks(self) -> bool:
        fault = self._faults.get("errors")
        if fault is None or fault.word("shard") != self.name or self._started_at >= fault.since:
            return False
        return random.random() < fault.number("share")


def application() -> web.Application:
    """The shard named by GRACE_DEMO_SHARD, whose faults stand in GRACE_DEMO_FAULTS; for gunicorn, called once a worker.

    Health checks of the balancer are not requests, so only what lies below `/api` is measured.
    """
    shard = Shard(os.environ["GRACE_DEMO_SHARD"], FaultFile(Path(os.environ["GRACE_DEMO_FAULTS"])), time.time())
    measured = web.Application(middlewares=[instrument(trust_request_start=True)])
    measured.router.add_get("/items/{item}", shard.item)
    app = web.Application()
    app.router.add_get("/healthz", shard.health)
    app.add_subapp("/api", measured)
    return app
