"""Doctor on Alertmanager's route to Grace: what is wrong with the receiver, each with its mend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web

from catalog.config import GraceConfig
from catalog.inventory import Inventory
from catalog.load import load_catalog
from remediator.clock import SystemClock
from stack.doctor.route import route
from stack.doctor.setup import Setup

SOUND = {"url": "http://grace:9782/api/v1/alerts", "http_config": {"authorization": {"credentials_file": "token"}}}
TO_GRACE = {"receiver": "grace"}


async def found(hook: Mapping[str, Any], routes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Problems and mends, for this webhook and this routing tree."""
    config = {"route": routes, "receivers": [{"name": "people"}, {"name": "grace", "webhook_configs": [dict(hook)]}]}

    async def status(request: web.Request) -> web.Response:
        return web.json_response({"config": {"original": yaml.safe_dump(config)}})

    app = web.Application()
    app.router.add_get("/api/v2/status", status)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    place = GraceConfig.model_validate({"alertmanager": {"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}})
    try:
        async with aiohttp.ClientSession() as http:
            setup = Setup(place, load_catalog(), Inventory(), SystemClock(), http)
            return [(each.problem, each.mend) async for each in route(setup)]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("hook", "routes", "problem", "mend"),
    [
        (
            {**SOUND, "send_resolved": False},
            TO_GRACE,
            "receiver 'grace' does not send what is resolved",
            "set send_resolved: true",
        ),
        ({**SOUND, "max_alerts": 5}, TO_GRACE, "receiver 'grace' cuts payloads at 5 alerts", "set max_alerts: 0"),
        (
            {"url": SOUND["url"]},
            TO_GRACE,
            "receiver 'grace' sends no token",
            "set http_config.authorization.credentials_file",
        ),
        (
            SOUND,
            {
                "receiver": "people",
                "routes": [{"receiver": "people", "match": {"category": "infra"}}, {"receiver": "grace"}],
            },
            "alerts of infra.cpu_utilization are not routed to receiver 'grace'",
            "`grace rules build` writes alertmanager/fragment.yml: add that to alertmanager.yml",
        ),
    ],
)
async def test_each_fault_has_its_mend(
    hook: Mapping[str, Any], routes: Mapping[str, Any], problem: str, mend: str
) -> None:
    assert await found(hook, routes) == [(problem, mend)]


async def test_a_sound_route_is_met_with_silence() -> None:
    assert await found({**SOUND, "send_resolved": True, "max_alerts": 0}, TO_GRACE) == []
