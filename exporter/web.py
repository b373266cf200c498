"""The exporter's HTTP: `/metrics`, events, health, reload and a landing page."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import hdrs, web

from catalog.fault import CatalogError
from exporter.exposition import negotiate
from exporter.hardware import hardware_status
from exporter.intake import Intake
from exporter.process import OwnMetrics
from exporter.snapshot import Snapshot

SLICE = 256 * 1024
"""Bytes that are handed to a client's connection at a time."""

GZIP_FROM = 1024
"""Bytes from which an answer is worth compressing."""


@dataclass(frozen=True, slots=True)
class Pages:
    """Handlers over one snapshot. `reload` raises CatalogError when the new configuration is not accepted."""

    snapshot: Snapshot
    own: OwnMetrics
    reload: Callable[[], Awaitable[None]]
    collectors: Callable[[], Sequence[str]]
    telemetry_path: str = "/metrics"
    intake: Intake = field(default_factory=lambda: Intake(lambda: ()))
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def app(self) -> web.Application:
        """The web application."""
        app = web.Application()
        app.router.add_get(self.telemetry_path, self.metrics)
        if self.telemetry_path != "/":
            app.router.add_get("/", self.landing)
        app.router.add_get("/-/healthy", self.healthy)
        app.router.add_get("/-/ready", self.ready)
        app.router.add_get("/api/hardware/status", self.hardware)
        app.router.add_route("POST", "/-/reload", self.reloaded)
        app.router.add_route("PUT", "/-/reload", self.reloaded)
        self.intake.add_to(app)
        return app

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Everything, or the collectors named by `collect[]`, in the format and encoding that is asked for."""
        only = request.query.getall("collect[]", [])
        unknown = sorted(set(only) - set(self.collectors()))
        if unknown:
            known = ", ".join(self.collectors()) or "none"
            raise web.HTTPBadRequest(text=f"There is no such collector. These are configured: {known}\n")
        form = negotiate(request.headers.get("Accept", ""))
        body, tail = self.snapshot.body(form, only), self.own.tail(form)
        headers = {"Content-Type": form.value, "Vary": "Accept, Accept-Encoding"}
        if accepts_gzip(request.headers.get("Accept-Encoding", "")) and body.size >= GZIP_FROM:
            return web.Response(body=body.gzipped(tail), headers={**headers, "Content-Encoding": "gzip"})
        return await _sent(request, (body.content, tail), headers)

    async def healthy(self, _: web.Request) -> web.Response:
        """200 as long as this process answers."""
        return web.Response(text="Grace exporter is healthy.\n")

    async def ready(self, _: web.Request) -> web.Response:
        """200 once everything was collected, unless every collector fails."""
        if self.snapshot.ready:
            return web.Response(text="Grace exporter is ready.\n")
        failing = [f"{state.collector}: {state.reason}" for state in self.snapshot.states.values() if state.reason]
        said = "\n".join(failing) or "The first collection has not ended."
        return web.Response(status=503, text=f"Grace exporter is not ready.\n{said}\n")

    async def reloaded(self, _: web.Request) -> web.Response:
        """Read the configuration again; what does not fit is answered with every fault, and the old one stays."""
        try:
            await self.reload()
        except CatalogError as error:
            return web.Response(status=500, text=f"The configuration was not changed:\n{error}\n")
        return web.Response(text="The configuration was read again.\n")

    async def hardware(self, _: web.Request) -> web.Response:
        """This machine, now. One look at a time, however many ask."""
        async with self.looking:
            return web.json_response(await asyncio.to_thread(hardware_status))

    async def landing(self, _: web.Request) -> web.Response:
        """Where everything is."""
        rows = "".join(
            f"<tr><td>{html.escape(collector)}<td>{html.escape(probe)}<td>{_outcome(state.success)}"
            f"<td>{html.escape(state.reason)}"
            for (collector, probe), state in sorted(self.snapshot.states.items())
        )
        text = _LANDING.format(metrics=html.escape(self.telemetry_path, quote=True), rows=rows)
        return web.Response(text=text, content_type="text/html", headers=_PAGE_HEADERS)


async def _sent(request: web.Request, parts: Sequence[bytes], headers: Mapping[str, str]) -> web.StreamResponse:
    """One after the other, a slice at a time: megabytes are neither copied nor held once more for each client."""
    answer = web.StreamResponse(headers=headers)
    answer.content_length = sum(map(len, parts))
    await answer.prepare(request)
    for part in parts if request.method != hdrs.METH_HEAD else ():
        view = memoryview(part)
        for begin in range(0, len(view), SLICE):
            await answer.write(view[begin : begin + SLICE])
    await answer.write_eof()
    return answer


def _outcome(success: bool | None) -> str:
    return {None: "not yet", True: "succeeds", False: "fails"}[success]


def accepts_gzip(header: str) -> bool:
    """Whether an `Accept-Encoding` header takes gzip."""
    for offer in header.split(","):
        name, _, parameters = offer.strip().partition(";")
        if name.strip() in ("gzip", "*"):
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
_LANDING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Grace exporter</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem; max-width: 60rem }}
td, th {{ padding: 0 1rem 0 0; text-align: left }}
</style>
<h1>Grace exporter</h1>
<ul><li><a href="{metrics}">Metrics</a><li><a href="/-/healthy">Healthy</a><li><a href="/-/ready">Ready</a>
<li><a href="/api/hardware/status">Hardware</a></ul>
<table><thead><tr><th>Collector<th>Probe<th>Last collection<th>Reason<tbody>{rows}</table>
</html>
"""
