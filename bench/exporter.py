"""How fast the exporter answers a scrape, beside others with the same series; its memory, its CPU, events it takes.

All values are collected anew every second. Every exporter is asked by the same client (`bench.exporter_client`), which
asks for gzip where nothing else is said; a figure says what was answered, for not all of them compress.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import psutil

from bench.exporter_client import Scraped, scraped
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

OURS = "grace exporter"
PEERS: Mapping[str, Callable[[int, int], AbstractContextManager[int]]] = {
    OURS: exporter,
    "bare prometheus-client": bare,
    "query-exporter": query_exporter,
    "node_exporter textfile": node_exporter,
}
SCRAPES, FEWER = {1: 1000, 8: 4000}, 48
"""Of ours, by clients; of the others, which take seconds with many series and clients: fewer tell enough."""
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
SCRAPES_AT_REST = 3
"""One every 15 seconds, while the CPU time is measured."""

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
    wait_for(port, f"{SERIES}{{", series)
    for clients in (1, 8):
        scrapes = SCRAPES[clients] if name == OURS else FEWER
        wanted = WANTED.get((series, clients), "") if name == OURS else ""
        yield _figure(f"{name}, {series} series, {clients} clients", scraped(port, clients, scrapes, "gzip"), wanted)
        if name == OURS:
            plain = scraped(port, clients, scrapes, "identity")
            yield _figure(f"{name}, {series} series, {clients} clients, uncompressed", plain)
    memory = psutil.Process(pid).memory_info().rss / 2**20
    yield Figure(f"{name}, {series} series, memory", f"{memory:.0f} MB")


def _figure(what: str, found: Scraped, wanted: str = "") -> Figure:
    p50, p99 = statistics.median(found.took), p99_of(found)
    return Figure(what, f"p50 {p50:.2f}, p99 {p99:.2f} ms ({found.encoding}, {found.size / 1000:.0f} kB)", wanted)


def p99_of(found: Scraped) -> float:
    """Milliseconds within which 99 of 100 scrapes were answered."""
    return statistics.quantiles(found.took, n=100, method="inclusive")[98]


def at_rest() -> Iterator[Figure]:
    """Memory and CPU with the core collectors at their own intervals."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "exporter.yml").write_text(CORE.format(folder=folder))
        Path(folder, "grace.yml").write_text("exporter: exporter.yml\n")
        Path(folder, "tasks.db").touch()
        port = free_port()
        with ours(folder, port) as pid:
            wait_for(port, f"{SERIES}{{", 1)
            before, begun = cpu_seconds(port), time.monotonic()
            for _ in range(SCRAPES_AT_REST):
                time.sleep(15)
                scraped(port, 1, 1, "gzip")
            used = (cpu_seconds(port) - before) / (time.monotonic() - begun)
            yield Figure(f"{OURS}, core collectors, CPU", f"{100 * used:.2f} % of a core", "≤ 1 %")
            memory = psutil.Process(pid).memory_info().rss / 2**20
            yield Figure(f"{OURS}, core collectors, memory", f"{memory:.0f} MB", "RSS ≤ 70 MB")


ROUNDS = 9


def with_one_stuck() -> Iterator[Figure]:
    """What a collector that hangs for 30 s changes for scrapes: two exporters, asked in turns."""
    ports = free_port(), free_port()
    with socket.socket() as silent, exporter(1000, ports[0]) as _:
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        with exporter(1000, ports[1], STUCK.format(port=silent.getsockname()[1])):
            found: list[list[float]] = [[], []]
            for port in ports:
                wait_for(port, f"{SERIES}{{", 1000)
            for _ in range(ROUNDS):
                for port, kept in zip(ports, found, strict=True):
                    kept.append(p99_of(scraped(port, 1, 300, "gzip")))
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
            wait_for(port, "grace_collector_success{", 1)
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


def cpu_seconds(port: int) -> float:
    """CPU seconds that the exporter has used: as it says itself, for the kernel's tables count hundredths."""
    (line,) = (line for line in exposed(port).splitlines() if line.startswith("process_cpu_seconds_total "))
    return float(line.split()[1])


def exposed(port: int) -> str:
    """The metrics, as text."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return str(answer.read().decode())


def wait_for(port: int, series: str, count: int) -> None:
    """Until so many series are there."""
    for _ in range(600):
        with contextlib.suppress(OSError):
            if exposed(port).count(series) >= count:
                return
        time.sleep(0.1)
    raise SystemExit(f"the exporter on port {port} did not come up")
