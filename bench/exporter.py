"""How fast the exporter answers a scrape, beside a bare prometheus-client application with the same series.

Gzip included, while all values are collected anew every second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import psutil

from bench.figure import Figure

HEADERS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "Accept-Encoding": "gzip"}
OURS = "grace exporter"
SCRAPES = 400
WANTED = {
    (19, 1): "p50 ≤ 1.5 ms",
    (1000, 1): "p50 ≤ 2 ms",
    (10_000, 1): "p50 ≤ 5 ms",
    (10_000, 8): "p99 ≤ 40 ms",
}
EXPORTER = """
max_series: 1000000
collectors:
  - name: queue
    collector: sql
    url: sqlite:///{folder}/tasks.db
    interval: 1s
    queries:
{queries}
"""
QUERY = """      - metric_ids: [executor.queue_depth]
        resource_column: pool
        sql: SELECT pool, depth FROM queue WHERE id % {parts} = {part}
        values: {{grace_executor_queue_depth: depth}}
"""
BARE = """
import random, sys, threading, time
from prometheus_client import Gauge, start_http_server
gauge = Gauge("grace_executor_queue_depth", "Tasks that wait for a worker.", ("resource",))
start_http_server(int(sys.argv[1]), "127.0.0.1")
while True:
    for number in range(int(sys.argv[2])):
        gauge.labels(f"pool-{number}").set(random.random())
    time.sleep(1)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(*command: str) -> Iterator[int]:
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


@contextlib.contextmanager
def exporter(series: int, port: int) -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.closing(sqlite3.connect(f"{folder}/tasks.db")) as database, database:
            database.execute("CREATE TABLE queue (id INTEGER PRIMARY KEY, pool TEXT, depth INTEGER)")
            rows = [(number, f"pool-{number}", number) for number in range(series)]
            database.executemany("INSERT INTO queue VALUES (?, ?, ?)", rows)
        parts = series // 5000 + 1
        queries = "".join(QUERY.format(parts=parts, part=part) for part in range(parts))
        Path(folder, "exporter.yml").write_text(EXPORTER.format(folder=folder, queries=queries))
        Path(folder, "grace.yml").write_text("exporter: exporter.yml\n")
        address = f"127.0.0.1:{port}"
        command = ("-m", "grace", "exporter", "--config", f"{folder}/grace.yml", "--web.listen-address", address)
        with running(*command) as pid:
            yield pid


@contextlib.contextmanager
def bare(series: int, port: int) -> Iterator[int]:
    with running("-c", BARE, str(port), str(series)) as pid:
        yield pid


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


def told() -> Iterator[Figure]:
    """Events accepted per second, in batches of 100 from four senders."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        for name, content in (
            ("token", TOKEN),
            ("orders.yaml", ORDERS),
            ("exporter.yml", EVENTS.format(folder=folder)),
        ):
            Path(folder, name).write_text(content)
        Path(folder, "grace.yml").write_text("exporter: exporter.yml\ncatalog: [orders.yaml]\n")
        address = f"127.0.0.1:{port}"
        with running("-m", "grace", "exporter", "--config", f"{folder}/grace.yml", "--web.listen-address", address):
            asyncio.run(wait_for(f"http://{address}/metrics", "grace_collector_success{", 1))
            per_second = asyncio.run(posts(f"http://{address}/api/v1/events"))
    yield Figure(f"{OURS}, events in batches of {BATCH}", f"{per_second:,.0f} events/s", "5,000 events/s")


async def posts(url: str) -> float:
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
    async with aiohttp.ClientSession() as session:
        for _ in range(200):
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    if (await answer.text()).count(series) >= count:
                        return
            await asyncio.sleep(0.1)
    raise SystemExit(f"{url} did not come up")


def measure(name: str, series: int, port: int, pid: int) -> Iterator[Figure]:
    url = f"http://127.0.0.1:{port}/metrics"
    asyncio.run(wait_for(url, "grace_executor_queue_depth{", series))
    ours = name == OURS
    for clients in (1, 8):
        # A bare client with many series takes seconds for eight at once: fewer scrapes tell enough.
        took = asyncio.run(scrapes(url, clients, SCRAPES if ours else SCRAPES // 5))
        p50, p99 = statistics.median(took), statistics.quantiles(took, n=100)[98]
        wanted = WANTED.get((series, clients), "") if ours else ""
        yield Figure(f"{name}, {series} series, {clients} clients", f"p50 {p50:.2f}, p99 {p99:.2f} ms", wanted)
    if ours:
        memory = psutil.Process(pid).memory_info().rss / 2**20
        yield Figure(f"{name}, {series} series, memory", f"{memory:.0f} MB", "RSS ≤ 70 MB" if series < 100 else "")


def figures() -> Iterator[Figure]:
    """Scrape times of the exporter and of a bare client, by number of series, and the exporter's memory."""
    for series in (19, 1000, 10_000):
        for name, start in ((OURS, exporter), ("bare prometheus-client", bare)):
            port = free_port()
            with start(series, port) as pid:
                yield from measure(name, series, port, pid)
    yield from told()
