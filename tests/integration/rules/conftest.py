"""A real Prometheus in the drill profile, and an exporter whose measurements the test sets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from catalog.load import load_catalog
from catalog.model import Catalog, TimeScale
from rules.build import build
from rules.output import write
from rules.prometheus import arguments, config

DRILL = TimeScale(drill=True)


@dataclass
class Exporter:
    """Gauges measured every `interval` seconds, as the real exporter does, and scraped whenever it is asked."""

    metric_id: str
    series: str
    interval: float
    values: dict[str, float] = field(default_factory=dict)
    measured: dict[str, tuple[float, float]] = field(default_factory=dict)
    """resource → (value, when): what a scrape shows."""
    hung: dict[str, float] = field(default_factory=dict)
    """Resources that are measured once and shown ever after."""
    up: bool = True

    async def measure(self) -> None:
        began = time.time()
        while True:
            now = time.time()
            self.measured = {resource: (value, began) for resource, value in self.hung.items()}
            self.measured |= {resource: (value, now) for resource, value in self.values.items()}
            await asyncio.sleep(self.interval)

    async def scrape(self, _request: web.Request) -> web.Response:
        if not self.up:
            raise web.HTTPServiceUnavailable
        lines = [
            line
            for resource, (value, when) in self.measured.items()
            for line in (
                f'{self.series}{{resource="{resource}"}} {value}',
                f'grace_sample_timestamp_seconds{{metric_id="{self.metric_id}",resource="{resource}"}} {when}',
            )
        ]
        return web.Response(text="\n".join(lines) + "\n")


@dataclass
class Stack:
    """The Prometheus under test and what it scrapes."""

    exporter: Exporter
    url: str
    http: aiohttp.ClientSession

    async def query(self, expression: str) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.url}/api/v1/query", params={"query": expression}) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    async def firing(self) -> set[tuple[str, str, str]]:
        """(alertname, resource, severity) of everything for Grace that fires now."""
        async with self.http.get(f"{self.url}/api/v1/alerts") as response:
            answer = await response.json()
        return {
            (alert["labels"]["alertname"], alert["labels"].get("resource", ""), alert["labels"]["severity"])
            for alert in answer["data"]["alerts"]
            if alert["labels"].get("grace") == "true"
        }

    async def answer(self, expression: str, within: float) -> list[dict[str, Any]]:
        """What the expression gives as soon as it gives something."""
        async with asyncio.timeout(within):
            while not (result := await self.query(expression)):  # noqa: ASYNC110 - another process: no event to wait for
                await asyncio.sleep(0.1)
        return result

    async def until(self, holds: Callable[[set[tuple[str, str, str]]], bool], within: float) -> float:
        """Seconds until what fires is as it should be. Fails with what fires instead."""
        began = time.monotonic()
        while True:
            firing = await self.firing()
            if holds(firing):
                return time.monotonic() - began
            assert time.monotonic() - began < within, f"after {within} s there fires {sorted(firing)}"
            await asyncio.sleep(0.1)


@asynccontextmanager
async def process(*command: str | Path, ready: Callable[[], Awaitable[bool]]) -> AsyncIterator[None]:
    """A program that runs for as long as the block does, from when it is ready."""
    child = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(30):
            while not await ready():
                assert child.returncode is None, f"{command[0]} ended with {child.returncode}"
                await asyncio.sleep(0.05)
        yield
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


async def answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


@pytest.fixture(scope="session")
def shipped() -> Catalog:
    return load_catalog()


@pytest.fixture(scope="session")
def running() -> Callable[..., Any]:
    """Runs a program until the block ends: `running(http, url that answers when it is ready, *command)`."""

    def run(http: aiohttp.ClientSession, url: str, *command: str | Path) -> Any:
        return process(*command, ready=lambda: answers(http, url))

    return run


@pytest.fixture(scope="session")
def exporter_of() -> type[Exporter]:
    return Exporter


@pytest.fixture
def serve(
    prometheus_binary: Path, free_port: Callable[[], int], tmp_path: Path, shipped: Catalog
) -> Callable[[Exporter], Any]:
    """Runs Prometheus with the drill profile's rules over the given exporter."""

    @asynccontextmanager
    async def run(exporter: Exporter) -> AsyncIterator[Stack]:
        write(tmp_path / "rules", build(shipped, DRILL))
        ports = [free_port() for _ in range(4)]
        text = config(
            shipped, DRILL, *(f"127.0.0.1:{port}" for port in ports[:3]), rule_files=[f"{tmp_path}/rules/*.yml"]
        )
        (tmp_path / "prometheus.yml").write_text(text)
        app = web.Application()
        app.router.add_get("/metrics", exporter.scrape)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", ports[0]).start()
        measuring = asyncio.create_task(exporter.measure(), name="measuring")
        url = f"http://127.0.0.1:{ports[3]}"
        try:
            async with (
                aiohttp.ClientSession() as http,
                process(
                    prometheus_binary,
                    f"--config.file={tmp_path}/prometheus.yml",
                    f"--storage.tsdb.path={tmp_path}/data",
                    f"--web.listen-address=127.0.0.1:{ports[3]}",
                    *arguments(DRILL),
                    ready=lambda: answers(http, f"{url}/-/ready"),
                ),
            ):
                yield Stack(exporter, url, http)
        finally:
            measuring.cancel()
            await asyncio.gather(measuring, return_exceptions=True)
            await runner.cleanup()

    return run


@pytest.fixture(scope="session", params=["installed", "newer"])
def both_lines(request: pytest.FixtureRequest) -> Mapping[str, Path]:
    """promtool and amtool of both lines that the rules are for: Prometheus 2.42 and 3.x."""
    if request.param == "installed":
        tools = request.getfixturevalue("tools")
        return {name: tools[name].path for name in ("promtool", "amtool")}
    newer = request.getfixturevalue("newer_tools")
    return {name: newer[name] for name in ("promtool", "amtool")}
