"""Doctor's test alert: what counts as arrived, how long it is waited for, and what is said when it did not come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web

from catalog.config import GraceConfig
from catalog.inventory import Inventory
from catalog.load import load_catalog
from stack.doctor.delivery import delivered
from stack.doctor.setup import Finding, Setup

URL = "http://grace:9782/api/v1/alerts"


class _Clock:
    """Moves as it is slept on."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class _Services:
    """Alertmanager and the remediator at one address: what is sent to the first is in the audit log of the second."""

    setup: Setup | None = None
    clock: _Clock = field(default_factory=_Clock)
    hook: dict[str, Any] = field(default_factory=lambda: {"url": URL})
    peers: int = 0
    told: dict[str, str] = field(default_factory=lambda: {"firing": "webhook", "resolved": "webhook"})
    """By which way the remediator hears of which status."""
    sent: list[dict[str, Any]] = field(default_factory=list)

    async def status(self, request: web.Request) -> web.Response:
        route = {"receiver": "grace", "group_wait": "1s", "group_interval": "3s"}
        config = {"route": route, "receivers": [{"name": "grace", "webhook_configs": [self.hook]}]}
        peers = [{"name": str(number), "address": ""} for number in range(self.peers)]
        return web.json_response({"config": {"original": yaml.safe_dump(config)}, "cluster": {"peers": peers}})

    async def alerts(self, request: web.Request) -> web.Response:
        self.sent += await request.json()
        return web.json_response({})

    async def audit(self, request: web.Request) -> web.Response:
        """The newest 200 entries; the alert ends as soon as its end was sent."""
        resource = self.sent[0]["labels"]["resource"]
        statuses = ["firing", "resolved"][: len(self.sent)]
        received = [
            {"kind": "alert_received", "body": {"resource": resource, "status": status, "source": self.told[status]}}
            for status in statuses
            if status in self.told
        ]
        return web.json_response({"items": [*received, {"kind": "checkpoint", "body": {}}]})

    async def findings(self) -> list[Finding]:
        assert self.setup is not None
        return [finding async for finding in delivered(self.setup)]


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[_Services]:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "admin").write_text("grace_" + "x" * 43)
    found = _Services()
    app = web.Application()
    app.router.add_get("/api/v2/status", found.status)
    app.router.add_post("/api/v2/alerts", found.alerts)
    app.router.add_get("/api/v1/audit", found.audit)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    config = GraceConfig.model_validate({"data_dir": tmp_path, "alertmanager": {"url": url}, "remediator_url": url})
    async with aiohttp.ClientSession() as http:
        found.setup = Setup(config, load_catalog(), Inventory(), found.clock, http)
        yield found
    await runner.cleanup()


async def test_it_is_sent_without_an_end_and_ended_once_it_was_seen(services: _Services) -> None:
    """An end of ours would rule over an earlier one where the clocks differ, and put it off for minutes."""
    assert await services.findings() == []
    assert [sorted({"startsAt", "endsAt"} & set(alert)) for alert in services.sent] == [
        ["startsAt"],
        ["endsAt", "startsAt"],
    ]


async def test_what_the_remediator_found_by_asking_is_no_delivery(services: _Services) -> None:
    services.told = {"firing": "reconciler"}
    (finding,) = await services.findings()
    assert finding.problem == "a test alert did not come to the remediator within 11 s"
    assert URL in finding.mend


@pytest.mark.parametrize(("peers", "seconds"), [(0, 11), (1, 11), (2, 26), (3, 41)])
async def test_each_peer_of_a_cluster_waits_for_the_ones_before_it(
    services: _Services, peers: int, seconds: int
) -> None:
    services.told, services.peers = {}, peers
    began = services.clock.now()
    (finding,) = await services.findings()
    assert f"within {seconds} s" in finding.problem
    assert services.clock.now() - began == pytest.approx(seconds, abs=0.5)


@pytest.mark.parametrize(
    ("hook", "mend"),
    [
        ({"url": URL, "send_resolved": False}, "set send_resolved: true on receiver 'grace'"),
        ({"url": URL}, f"Alertmanager's log says why it could not post to {URL} again"),
    ],
)
async def test_an_end_that_does_not_come(services: _Services, hook: dict[str, Any], mend: str) -> None:
    services.told, services.hook = {"firing": "webhook"}, hook
    (finding,) = await services.findings()
    assert (finding.problem, finding.mend) == ("the test alert arrived, but not that it was resolved", mend)
