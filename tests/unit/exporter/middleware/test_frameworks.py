import asyncio
import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from exporter.middleware import aiohttp as for_aiohttp
from exporter.middleware import asgi, wsgi


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def counted(registry: CollectorRegistry, method: str, route: str, code: int) -> float | None:
    return registry.get_sample_value("grace_http_requests_total", {"method": method, "route": route, "code": str(code)})


async def test_aiohttp_counts_by_template_and_by_what_was_answered(registry: CollectorRegistry) -> None:
    async def task(request: web.Request) -> web.Response:
        what = request.match_info["id"]
        if what == "gone":
            raise web.HTTPGone
        if what == "broken":
            raise RuntimeError(what)
        return web.Response(status=202)

    app = web.Application(middlewares=[for_aiohttp.instrument(registry=registry)])
    app.router.add_get("/tasks/{id}", task)
    async with TestClient(TestServer(app)) as client:
        for path in ("/tasks/1", "/tasks/2", "/tasks/gone", "/tasks/broken", "/nowhere"):
            await client.get(path)
    assert counted(registry, "GET", "/tasks/{id}", 202) == 2
    assert counted(registry, "GET", "/tasks/{id}", 410) == 1
    assert counted(registry, "GET", "/tasks/{id}", 500) == 1
    assert counted(registry, "GET", "unmatched", 404) == 1
    assert "/nowhere" not in str(list(registry.collect()))
    assert registry.get_sample_value("grace_http_requests_in_progress") == 0


@pytest.mark.parametrize("trusted", [True, False])
async def test_queueing_in_a_trusted_balancer_counts(registry: CollectorRegistry, trusted: bool) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(middlewares=[for_aiohttp.instrument(trust_request_start=trusted, registry=registry)])
    app.router.add_get("/", answer)
    async with TestClient(TestServer(app)) as client:
        await client.get("/", headers={"X-Request-Start": f"t={time.time() - 20}"})
    took = registry.get_sample_value("grace_http_request_duration_seconds_sum", {"method": "GET", "route": "/"})
    assert took is not None
    assert (took >= 20) is trusted


class FastApiRoute:
    path = "/items/{item}"


async def call_asgi(app: asgi.App, scope: dict[str, Any]) -> list[Any]:
    sent: list[Any] = []

    async def receive() -> asgi.Message:
        return {"type": "http.request"}

    async def send(message: asgi.Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": "GET", "path": "/items/7", "headers": [], **scope}, receive, send)
    return sent


async def test_asgi_reads_the_template_that_the_framework_left_in_the_scope(registry: CollectorRegistry) -> None:
    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        scope["route"] = FastApiRoute()
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    sent = await call_asgi(asgi.instrument(app, registry=registry), {})
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert counted(registry, "GET", "/items/{item}", 201) == 1


async def test_asgi_counts_failures_departed_clients_and_starlette_endpoints(registry: CollectorRegistry) -> None:
    def endpoint() -> None: ...

    router = SimpleNamespace(routes=(object(), SimpleNamespace(path="/starlette/{id}", endpoint=endpoint)))
    failures: list[BaseException] = [RuntimeError("broken"), asyncio.CancelledError()]

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        raise failures.pop(0)

    measured = asgi.instrument(app, registry=registry)
    with pytest.raises(RuntimeError):
        await call_asgi(measured, {})
    with pytest.raises(asyncio.CancelledError):
        await call_asgi(measured, {"endpoint": endpoint, "router": router})
    assert counted(registry, "GET", "unmatched", 500) == 1
    assert counted(registry, "GET", "/starlette/{id}", 499) == 1


async def test_asgi_lets_other_protocols_pass(registry: CollectorRegistry) -> None:
    seen = []

    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any: ...

    await asgi.instrument(app, registry=registry)({"type": "lifespan"}, nothing, nothing)
    assert seen == ["lifespan"]
    assert not [s for m in registry.collect() for s in m.samples if s.name == "grace_http_requests_total"]


def call_wsgi(app: Any, **environ: Any) -> bytes:
    body = app({"REQUEST_METHOD": "POST", "PATH_INFO": "/x", **environ}, lambda *_: None)
    try:
        return b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()


def test_wsgi_counts_until_the_body_was_sent(registry: CollectorRegistry) -> None:
    in_progress: list[float | None] = []

    def body() -> Iterable[bytes]:
        in_progress.append(registry.get_sample_value("grace_http_requests_in_progress"))
        yield b"hello"

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        environ["grace.route"] = "/x/<id>"
        start("503 Busy", [])
        return body()

    assert call_wsgi(wsgi.instrument(app, registry=registry)) == b"hello"
    assert in_progress == [1]
    assert counted(registry, "POST", "/x/<id>", 503) == 1
    assert registry.get_sample_value("grace_http_requests_in_progress") == 0


def test_wsgi_counts_a_raise_as_500_and_reads_flasks_rule(registry: CollectorRegistry) -> None:
    class Rule:
        rule = "/flask/<int:id>"

    class Request:
        url_rule = Rule()

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        environ["werkzeug.request"] = Request()
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        call_wsgi(wsgi.instrument(app, registry=registry))
    assert counted(registry, "POST", "/flask/<int:id>", 500) == 1
