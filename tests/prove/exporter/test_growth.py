"""A day of collections and scrapes in minutes: memory and file descriptors stay as they were."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1200)]

A_DAY = 24 * 3600 // 15
"""Scrapes of a day."""
WARM = A_DAY // 4
"""Scrapes until everything was loaded, cached and rendered."""
TOKEN = "a-token-of-the-shop"
ORDERS = Path(__file__).parents[2] / "unit" / "exporter" / "data" / "orders.yaml"
COLLECTORS = """
collectors:
  - {{name: machine, collector: psutil, interval: 20ms, metric_ids: [infra.cpu_utilization, infra.memory_utilization]}}
  - {{name: volume, collector: psutil, interval: 20ms, metric_ids: [infra.disk_usage],
      volumes: [{{resource: here, path: ., quota_bytes: 1000000}}]}}
  - name: queue
    collector: sql
    url: sqlite:///tasks.db
    interval: 20ms
    queries:
      - {{metric_ids: [executor.queue_depth], resource_column: pool, values: {{grace_executor_queue_depth: depth}},
         sql: "SELECT pool || (random() % 100) AS pool, depth FROM queue"}}
  - {{name: absent, collector: sql, url: "sqlite:///absent.db", interval: 20ms, queries: [{{metric_ids:
      [executor.queue_depth], resource: x, sql: SELECT 1 AS d, values: {{grace_executor_queue_depth: d}}}}]}}
  - {{name: orders, collector: events, interval: 20ms, metric_ids: [orders.backlog], token_file: token}}
  - name: stats
    collector: http
    url: http://127.0.0.1:{port}/
    interval: 20ms
    readings: [{{metric_ids: [orders.load], resource: shop, values: {{orders_load_ratio: $.load}}}}]
"""


class Stats(BaseHTTPRequestHandler):
    """Answers a number; every tenth time an error."""

    count = 0

    def do_GET(self) -> None:
        type(self).count += 1
        self.send_response(500 if self.count % 10 == 0 else 200)
        self.end_headers()
        self.wfile.write(b'{"load": 0.5}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_day_leaves_nothing_behind(tmp_path: Path, free_port: Callable[[], int]) -> None:
    stats = ThreadingHTTPServer(("127.0.0.1", 0), Stats)
    threading.Thread(target=stats.serve_forever, daemon=True).start()
    with closing(sqlite3.connect(tmp_path / "tasks.db")) as database, database:
        database.execute("CREATE TABLE queue (pool TEXT, depth INTEGER)")
        database.executemany("INSERT INTO queue VALUES (?, ?)", [(f"pool-{n}-", n) for n in range(20)])
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "exporter.yml").write_text(COLLECTORS.format(port=stats.server_port))
    (tmp_path / "grace.yml").write_text(f"exporter: exporter.yml\ncatalog: [{ORDERS}]\n")
    port = free_port()
    address = f"127.0.0.1:{port}"
    command = ["-m", "grace", "exporter", "--config", str(tmp_path / "grace.yml"), "--web.listen-address", address]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *command], stderr=log)
    try:
        held = psutil.Process(process.pid)
        scrape(address, 1, patience=60)
        scrape(address, WARM)
        before = held.memory_info().rss, held.num_fds(), held.num_threads()
        scrape(address, A_DAY - WARM)
        time.sleep(1.0)
        after = held.memory_info().rss, held.num_fds(), held.num_threads()
    finally:
        process.terminate()
        process.wait(20)
        stats.shutdown()
        stats.server_close()
    print(f"RSS, descriptors, threads: {before} → {after}")
    assert after[0] - before[0] < 3 * 2**20
    assert after[1] <= before[1] + 8
    assert after[2] <= before[2] + 8
    assert os.path.getsize(tmp_path / "log") < 2**20


def scrape(address: str, times: int, patience: float = 30.0) -> None:
    """Scrape so often, tell an event of ever other shops each tenth time, and reload each thousandth."""
    for number in range(times):
        end = time.monotonic() + patience
        while True:
            with suppress(OSError):
                with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
                    answer.read()
                break
            assert time.monotonic() < end, "no answer"
            time.sleep(0.1)
        if number % 10 == 5:
            tell(address, f"shop-{number % 500}")
        if number % 1000 == 999:
            request = urllib.request.Request(f"http://{address}/-/reload", method="POST")
            urllib.request.urlopen(request, timeout=10).close()
        time.sleep(0.01)


def tell(address: str, resource: str) -> None:
    now = datetime.now(UTC).isoformat()
    event = {"metric_id": "orders.backlog", "value": 1, "unit": "count", "resource": resource, "observed_at": now}
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    body = json.dumps({**event, "source": "test"}).encode()
    request = urllib.request.Request(f"http://{address}/api/v1/events", data=body, headers=headers)
    urllib.request.urlopen(request, timeout=10).close()
