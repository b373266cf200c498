import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from catalog.fault import CatalogError, Fault
from exporter.collectors.base import Pace, Probe
from exporter.exposition import Format
from exporter.families import Measured, Reading, Sample, family, labels_of
from exporter.process import OwnMetrics, Reloads
from exporter.snapshot import Snapshot, prepare
from exporter.web import SLICE, Pages, accepts_gzip

KEY = ("hosts", "host <b>")
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0"}


async def collect() -> Reading:
    raise AssertionError


PROBE = Probe("host <b>", Pace(30, 5, 60), collect)


class World:
    """A snapshot behind its pages, and a reload that does as it is told."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.snapshot = Snapshot(clock, 1000)
        self.snapshot.expect([(KEY, PROBE)])
        self.fault: CatalogError | None = None
        self.reloaded = 0
        pages = Pages(self.snapshot, OwnMetrics(Reloads(at=clock())), self.reload, lambda: ["hosts"], "/metrics")
        self.client = TestClient(TestServer(pages.app()), auto_decompress=True)

    async def reload(self) -> None:
        self.reloaded += 1
        if self.fault:
            raise self.fault

    def succeed(self, count: int = 50) -> None:
        rows = [Sample(labels_of({"resource": str(n)}), n) for n in range(count)]
        gauge = family("grace_host_cpu_utilization_ratio", rows)
        reading = Reading((gauge,), frozenset({Measured("infra.cpu_utilization", "0")}))
        self.snapshot.succeeded(KEY, PROBE, prepare(reading, count, self.clock()), 0.1)


@pytest.fixture
async def world(clock: Any) -> AsyncIterator[World]:
    found = World(clock)
    async with found.client:
        yield found


async def test_the_same_metrics_in_every_format_and_encoding(world: World) -> None:
    world.succeed()
    plain = await (await world.client.get("/metrics", headers={"Accept-Encoding": "identity"})).text()
    packed = await world.client.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert [line for line in (await packed.text()).splitlines() if line.startswith("grace_")] == [
        line for line in plain.splitlines() if line.startswith("grace_")
    ]
    answer = await world.client.get("/metrics", headers=OPENMETRICS)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {each.name: each for each in text_string_to_metric_families(await answer.text())}
    assert len(families["grace_host_cpu_utilization_ratio"].samples) == 50
    assert families["process_cpu_seconds"].samples[0].value > 0


async def test_megabytes_come_whole_and_in_order(world: World) -> None:
    world.succeed(count=20_000)
    answer = await world.client.get("/metrics", headers={"Accept-Encoding": "identity"})
    body = await answer.read()
    assert len(body) == int(answer.headers["Content-Length"]) > 3 * SLICE
    kept = world.snapshot.body(Format.TEXT).content
    assert body.startswith(kept)
    assert b"process_open_fds" in body[len(kept) :]


async def test_who_asks_for_the_head_alone_gets_no_body(world: World) -> None:
    world.succeed()
    for encoding in ("identity", "gzip"):
        reader, writer = await asyncio.open_connection(world.client.host, world.client.port)
        asked = f"HEAD /metrics HTTP/1.1\r\nHost: here\r\nAccept-Encoding: {encoding}\r\nConnection: close\r\n\r\n"
        writer.write(asked.encode())
        said = await reader.read()
        writer.close()
        assert said.startswith(b"HTTP/1.1 200 OK\r\n")
        assert said.endswith(b"\r\n\r\n")
        assert said.count(b"\r\n\r\n") == 1


async def test_a_scrape_may_ask_for_some_collectors_only(world: World) -> None:
    assert (await world.client.get("/metrics", params={"collect[]": "hosts"})).status == 200
    answer = await world.client.get("/metrics", params={"collect[]": "<script>"})
    assert answer.status == 400
    assert await answer.text() == "There is no such collector. These are configured: hosts\n"


async def test_ready_once_collected_and_not_when_all_fails(world: World) -> None:
    assert (await world.client.get("/-/healthy")).status == 200
    answer = await world.client.get("/-/ready")
    assert (answer.status, "first collection" in await answer.text()) == (503, True)
    world.succeed()
    assert (await world.client.get("/-/ready")).status == 200
    world.snapshot.failed(KEY, "the disk is gone", 0.1)
    answer = await world.client.get("/-/ready")
    assert (answer.status, "hosts: the disk is gone" in await answer.text()) == (503, True)


async def test_reload_answers_with_every_fault(world: World) -> None:
    assert (await world.client.get("/-/reload")).status == 405
    assert (await world.client.post("/-/reload")).status == 200
    world.fault = CatalogError([Fault("exporter.yml", 3, 1, "collectors[0]", "wrong"), Fault("x.yml", 1, 1, "", "bad")])
    answer = await world.client.post("/-/reload")
    assert answer.status == 500
    assert "exporter.yml:3:1 collectors[0]: wrong\nx.yml:1:1: bad" in await answer.text()
    assert world.reloaded == 2


async def test_the_landing_page_escapes_what_it_shows(world: World) -> None:
    world.snapshot.failed(KEY, "<script>", 0.1)
    answer = await world.client.get("/")
    text = await answer.text()
    assert 'href="/metrics"' in text
    assert "host &lt;b&gt;" in text
    assert "<script>" not in text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [("gzip", True), ("", False), ("br, gzip;q=0.5", True), ("gzip;q=0", False), ("*", True), ("identity", False)],
)
def test_gzip_only_where_it_is_taken(header: str, expected: bool) -> None:
    assert accepts_gzip(header) is expected


async def test_the_machine_as_json(world: World) -> None:
    status = await (await world.client.get("/api/hardware/status")).json()
    assert 0 <= status["cpu"]["utilization_ratio"] <= 1
    assert status["memory"]["utilization_ratio"] == pytest.approx(
        1 - status["memory"]["available_bytes"] / status["memory"]["total_bytes"]
    )
    assert len(status["cpu"]["load_average"]) == 3
    assert all(0 <= disk["usage_ratio"] <= 1 for disk in status["disks"])
