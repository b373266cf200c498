from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from exporter.collectors.base import CollectError, Setting
from exporter.collectors.remediator import RemediatorCollector, RemediatorConfig, autonomy_of

IDS = ["autonomy.plan_success_rate", "autonomy.approvals_pending", "autonomy.rollback_rate", "autonomy.autonomy_ratio"]


async def test_null_is_absent_and_still_measured(setting: Setting, values: Any) -> None:
    async def status(_: web.Request) -> web.Response:
        idle = {"verified_runs": 2, "plan_success_ratio": None, "rollback_ratio": None, "autonomy_ratio": None}
        return web.json_response({"version": "0.1.0", "autonomy": {**idle, "approvals_pending": 1}})

    app = web.Application()
    app.router.add_get("/api/v1/status", status)
    async with TestServer(app) as server:
        written = {"name": "remediator", "collector": "remediator", "url": str(server.make_url("/api/v1/status"))}
        collector = RemediatorCollector(RemediatorConfig.model_validate({**written, "metric_ids": IDS}), setting)
        (probe,) = collector.probes
        assert probe.pace.interval == 60.0
        reading = await probe.collect()
        await collector.close()
    assert values(reading) == {
        "grace_autonomy_verified_runs{resource=grace}": 2,
        "grace_autonomy_approvals_pending{resource=grace}": 1,
    }
    # The one that ships switched off is not measured.
    assert {measured.metric_id for measured in reading.measured} == set(IDS[:3])


@pytest.mark.parametrize(
    "status",
    [None, [], {}, {"autonomy": 5}, {"autonomy": {"verified_runs": "2"}}, {"autonomy": {"approvals_pending": True}}],
)
def test_another_document_is_refused(status: Any) -> None:
    with pytest.raises(CollectError):
        autonomy_of(status)


async def test_a_remediator_elsewhere_is_shown_the_token_of_a_file(setting: Setting, tmp_path: Path) -> None:
    shown = []

    async def status(request: web.Request) -> web.Response:
        shown.append(request.headers.get("Authorization"))
        return web.json_response({"autonomy": {"verified_runs": 2}})

    app = web.Application()
    app.router.add_get("/status", status)
    token = tmp_path / "token"
    async with TestServer(app) as server:
        written = {"name": "grace", "collector": "remediator", "url": str(server.make_url("/status"))}
        config = RemediatorConfig.model_validate({**written, "metric_ids": IDS, "token_file": str(token)})
        collector = RemediatorCollector(config, setting)
        with pytest.raises(CollectError, match="cannot be read"):
            await collector.probes[0].collect()
        token.write_text("grace_one\n")
        await collector.probes[0].collect()
        token.write_text("grace_two\n")
        await collector.probes[0].collect()
        await collector.close()
    assert shown == ["Bearer grace_one", "Bearer grace_two"]
