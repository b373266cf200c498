"""Doctor compares clocks, and takes no slow answer for a wrong one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from catalog.config import GraceConfig
from catalog.inventory import Inventory
from catalog.load import load_catalog
from stack.doctor.services import clocks
from stack.doctor.setup import Finding, Setup

BEGAN = 1_800_000_000.0


class _Clock:
    time = BEGAN

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@asynccontextmanager
async def answering(data: Path, clock: _Clock, takes: float, wrong_by: float) -> AsyncIterator[Setup]:
    """A Prometheus that reads its clock in the middle of an answer, and a remediator whose clock agrees."""

    async def prometheus(request: web.Request) -> web.Response:
        clock.time += takes / 2
        read = clock.time + wrong_by
        clock.time += takes / 2
        return web.json_response({"status": "success", "data": {"resultType": "scalar", "result": [read, str(read)]}})

    async def status(request: web.Request) -> web.Response:
        return web.json_response({"now": clock.time})

    app = web.Application()
    app.router.add_post("/api/v1/query", prometheus)
    app.router.add_get("/api/v1/status", status)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    (data / "tokens").mkdir()
    (data / "tokens" / "admin").write_text("grace_" + "x" * 43)
    config = GraceConfig.model_validate({"data_dir": data, "prometheus": {"url": url}, "remediator_url": url})
    try:
        async with aiohttp.ClientSession() as http:
            yield Setup(config, load_catalog(), Inventory(), clock, http)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("takes", "wrong_by", "said"),
    [
        (0.0, 0.0, []),
        (30.0, 0.0, []),
        (0.0, 4.0, []),
        (0.0, 60.0, ["the clock of Prometheus is +60 s from this one"]),
        (2.0, -60.0, ["the clock of Prometheus is -59 s from this one"]),
    ],
)
async def test_only_a_clock_that_is_wrong_is_a_finding(
    tmp_path: Path, takes: float, wrong_by: float, said: list[str]
) -> None:
    async with answering(tmp_path, _Clock(), takes, wrong_by) as setup:
        findings: list[Finding] = [finding async for finding in clocks(setup)]
    assert [finding.problem for finding in findings] == said
