"""A real Alertmanager with the generated configuration posts what `grace fire` says it posts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from catalog.config import AlertmanagerConfig, GraceConfig
from catalog.load import load_catalog
from catalog.model import Severity, TimeScale
from remediator.alertmanager import Alertmanager
from remediator.webhook.fake import notification
from remediator.webhook.payload import parse
from rules.alertmanager import Receivers, config

SCALE = TimeScale(drill=True)
HOSTILE = 'api-1 "<&>" \\ ü\n'


@dataclass
class Rig:
    client: Alertmanager
    posted: asyncio.Queue[tuple[bytes, str]]
    settings: GraceConfig

    async def next_post(self) -> tuple[bytes, str]:
        return await asyncio.wait_for(self.posted.get(), 30)


@pytest.fixture
async def rig(alertmanager_binary: Path, free_port: Callable[[], int], tmp_path: Path) -> AsyncIterator[Rig]:
    posted: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        posted.put_nowait((await request.read(), request.headers.get("Authorization", "")))
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/api/v1/alerts", receive)
    (tmp_path / "token").write_text("grace_secret")
    port = free_port()
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        log = (tmp_path / "log").open("w")
        receivers = Receivers(str(server.make_url("/")), credentials_file=str(tmp_path / "token"))
        (tmp_path / "alertmanager.yml").write_text(config(load_catalog(), SCALE, receivers))
        process = await asyncio.create_subprocess_exec(
            alertmanager_binary,
            f"--config.file={tmp_path / 'alertmanager.yml'}",
            f"--storage.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            "--web.external-url=http://alertmanager.example.org",
            stdout=log,
            stderr=log,
        )
        try:
            client = Alertmanager(session, f"http://127.0.0.1:{port}")
            async with asyncio.timeout(30):
                while not await client.reachable():
                    assert process.returncode is None, (tmp_path / "log").read_text()
                    await asyncio.sleep(0.05)
            settings = GraceConfig(
                alertmanager=AlertmanagerConfig(url="http://alertmanager.example.org"), time_scale=SCALE
            )
            yield Rig(client, posted, settings)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            log.close()


@pytest.mark.parametrize("resource", ["api-1", HOSTILE])
async def test_firing_and_resolved_bodies_are_equal_to_the_byte(rig: Rig, resource: str) -> None:
    metric = load_catalog().metrics["infra.cpu_utilization"]
    begin = time.time() - 60
    expected = notification(metric, Severity.CRITICAL, resource, rig.settings, starts_at=begin)
    (alert,) = expected.alerts
    sent = {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": alert.starts_at,
        "generatorURL": alert.generator_url,
    }
    await rig.client.post_alerts([sent])
    body, authorization = await rig.next_post()
    assert body == expected.body()
    assert authorization == "Bearer grace_secret"

    (held,) = await rig.client.alerts("grace")
    assert held.key == parse(body).alerts[0].key, "the reconciler knows it as what the webhook delivered"
    assert (held.state, held.labels["resource"]) == ("active", resource)
    assert await rig.client.alerts("grac.") == ()
    status = await rig.client.status()
    assert abs(status.up_since - time.time()) < 60

    end = time.time()
    resolved = notification(metric, Severity.CRITICAL, resource, rig.settings, starts_at=begin, ends_at=end)
    await rig.client.post_alerts([sent | {"endsAt": resolved.alerts[0].ends_at}])
    body, _ = await rig.next_post()
    assert body == resolved.body()
    assert await rig.client.alerts("grace") == ()
    assert await rig.client.silences() == ()
