"""How fast the exporter answers a scrape, beside others with the same series; its memory, its CPU, events it takes.

Gzip included, while all values are collected anew every second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import psutil

from bench.exporter_peers import (
    SERIES,
    STUCK,
    Unavailable,
    bare,
    exporter,
    free_port,
    node_exporter,
    ours,
    query_exporter,
)
from bench.figure import Figure

HEADERS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "Accept-Encoding": "gzip"}
OURS = "grace exporter"
PEERS: Mapping[str, Callable[[int, int], AbstractContextManager[int]]] = {
    OURS: exporter,
    "bare prometheus-client": bare,
    "query-exporter": query_exporter,
    "node_exporter textfile": node_exporter,
}
SCRAPES, FEWER = 2000, 80
WANTED = {
    (19, 1): "p50 ≤ 1.5 ms",
    (1000, 1): "p50 ≤ 2 ms",
    (10_000, 1): "p50 ≤ 5 ms",
    (10_000, 8): "p99 ≤ 40 ms",
}
CORE = """
collectors:
  - name: machine
    collector: psutil
    metric_ids: [infra.cpu_utilization, infra.memory_utilization, infra.disk_usage]
    volumes: [{{resource: root, path: /}}]
  - name: queue
    collector: sql
    url: sqlite:///{folder}/tasks.db
    queries:
      - metric_ids: [executor.queue_depth]
        resource: workers
        sql: SELECT 3 AS depth
        values: {{grace_executor_queue_depth: depth}}
  - {{name: grace, collector: remediator, metric_ids: [autonomy.approvals_pending]}}
"""
WATCHED = 45.0
"""Seconds over which the CPU time is measured, with a scrape every 15."""

EVENTS = """
collectors:
  - {{name: orders, collector: events, metric_ids: [orders.backlog], token_file: {folder}/token}}
"""
ORDERS = """
metrics:
  - id: orders.backlog
    title: Backlog
    category: executor
    unit: count
    unit_label: orders
    interval: 30s
    window: 5m
    resource_is: shop
    source: events
    derive: {kind: gauge, series: orders_backlog}
    aggregate: max
    empty: absent
    bands: {good: "< 10", warning: "10..20", critical: "> 20"}
"""
TOKEN = "a-token-of-the-bench"
BATCHES, BATCH = 300, 100


def figures() -> Iterator[Figure]:
    """Scrape times by number of series and clients, memory and CPU, what a stuck collector changes, and events."""
    for series in (19, 1000, 10_000):
        for name, start in PEERS.items():
            port = free_port()
            try:
                with start(series, port) as pid:
                    yield from measure(name, series, port, pid)
            except Unavailable as error:
                yield Figure(f"{name}, {series} series", f"not here: {error}"[:60])
    yield from at_rest()
    yield from with_one_stuck()
    yield from told()


def measure(name: str, series: int, port: int, pid: int) -> Iterator[Figure]:
    """How long scrapes take, of one of them."""
    url = f"http://127.0.0.1:{port}/metrics"
    asyncio.run(wait_for(url, f"{SERIES}{{", series))
    for clients in (1, 8):
        # With many series the others take seconds for eight clients at once: fewer scrapes tell enough.
        took = asyncio.run(scrapes(url, clients, SCRAPES if name == OURS else FEWER))
        p50, p99 = statistics.median(took), statistics.quantiles(took, n=100)[98]
        wanted = WANTED.get((series, clients), "") if name == OURS else ""
        yield Figure(f"{name}, {series} series, {clients} clients", f"p50 {p50:.2f}, p99 {p99:.2f} ms", wanted)
    memory = psutil.Process(pid).memory_info().rss / 2**20
    yield Figure(f"{name}, {series} series, memory", f"{memory:.0f} MB")


def at_rest() -> Iterator[Figure]:
    """Memory and CPU with the core collectors at their own intervals."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "exporter.yml").write_text(CORE.format(folder=folder))
        Path(folder, "grace.yml").write_text("exporter: exporter.yml\n")
        Path(folder, "tasks.db").touch()
        port = free_port()
        url = f"http://127.0.0.1:{port}/metrics"
        with ours(folder, port) as pid:
            asyncio.run(wait_for(url, f"{SERIES}{{", 1))
            process = psutil.Process(pid)
            before, end = sum(process.cpu_times()[:2]), time.monotonic() + WATCHED
            while time.monotonic() < end:
                asyncio.run(scrapes(url, 1, 1))
                time.sleep(15)
            used = (sum(process.cpu_times()[:2]) - before) / WATCHED
            yield Figure(f"{OURS}, core collectors, CPU", f"{100 * used:.2f} % of a core", "≤ 1 %")
            memory = process.memory_info().rss / 2**20
            yield Figure(f"{OURS}, core collectors, memory", f"{memory:.0f} MB", "RSS ≤ 70 MB")


def with_one_stuck() -> Iterator[Figure]:
    """What a collector that hangs for 30 s changes for scrapes: two exporters, asked in turns."""
    ports = free_port(), free_port()
    with socket.socket() as silent, exporter(1000, ports[0]) as _:
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        with exporter(1000, ports[1], STUCK.format(port=silent.getsockname()[1])):
            urls = [f"http://127.0.0.1:{port}/metrics" for port in ports]
            found: list[list[float]] = [[], []]
            for url in urls:
                asyncio.run(wait_for(url, f"{SERIES}{{", 1000))
            for _ in range(9):
                for url, kept in zip(urls, found, strict=True):
                    kept.append(statistics.quantiles(asyncio.run(scrapes(url, 1, 300)), n=100)[98])
    alone, beside = map(statistics.median, found)
    shown = f"p99 {alone:.2f} → {beside:.2f} ms ({100 * (beside / alone - 1):+.0f} %)"
    yield Figure(f"{OURS}, one collector stuck for 30 s", shown, "less than +20 %")


def told() -> Iterator[Figure]:
    """Events accepted per second, in batches of 100 from four senders."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        for name, content in (
            ("token", TOKEN),
            ("orders.yaml", ORDERS),
            ("exporter.yml", EVENTS.format(folder=folder)),
            ("grace.yml", "exporter: exporter.yml\ncatalog: [orders.yaml]\n"),
        ):
            Path(folder, name).write_text(content)
        with ours(folder, port):
            asyncio.run(wait_for(f"http://127.0.0.1:{port}/metrics", "grace_collector_success{", 1))
            per_second = asyncio.run(posts(f"http://127.0.0.1:{port}/api/v1/events"))
    yield Figure(f"{OURS}, events in batches of {BATCH}", f"{per_second:,.0f} events/s", "5,000 events/s")


async def posts(url: str) -> float:
    """Events per second that were taken."""
    now = datetime.now(UTC).isoformat()
    event = {"metric_id": "orders.backlog", "value": 7, "unit": "count", "observed_at": now, "source": "bench"}
    body = json.dumps([{**event, "resource": f"shop-{number}"} for number in range(BATCH)]).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def sender() -> None:
            for _ in range(BATCHES // 4):
                async with session.post(url, data=body) as answer:
                    if answer.status != 202:
                        raise SystemExit(f"events were answered {answer.status}: {await answer.text()}")

        begun = time.perf_counter()
        await asyncio.gather(*(sender() for _ in range(4)))
        return BATCHES // 4 * 4 * BATCH / (time.perf_counter() - begun)


async def scrapes(url: str, clients: int, total: int) -> list[float]:
    """Milliseconds that each of so many scrapes took."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def client() -> list[float]:
            took = []
            for _ in range(total // clients):
                begun = time.perf_counter()
                async with session.get(url, headers=HEADERS) as answer:
                    await answer.read()
                took.append((time.perf_counter() - begun) * 1000)
                await asyncio.sleep(0.005)
            return took

        return [each for found in await asyncio.gather(*(client() for _ in range(clients))) for each in found]


async def wait_for(url: str, series: str, count: int) -> None:
    """Until so many series are there."""
    async with aiohttp.ClientSession() as session:
        for _ in range(600):
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    if (await answer.text()).count(series) >= count:
                        return
            await asyncio.sleep(0.1)
    raise SystemExit(f"{url} did not come up")
