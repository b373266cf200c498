"""The exporter and its peers with the same series, each started and ended: what the exporter's bench compares."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import venv
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from stack.packages import PackageFolder, PackagesError, locked

SERIES = "grace_executor_queue_depth"
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
STUCK = """  - name: stuck
    collector: http
    url: http://127.0.0.1:{port}/
    interval: 1s
    timeout: 30s
    readings: [{{metric_ids: [executor.worker_utilization], resource: x, values: {{grace_executor_workers: $.a}}}}]
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
QUERY_EXPORTER = """
databases:
  tasks: {{dsn: "sqlite:///{folder}/tasks.db"}}
metrics:
  grace_executor_queue_depth: {{type: gauge, description: Tasks that wait for a worker., labels: [resource]}}
queries:
  depth:
    databases: [tasks]
    metrics: [grace_executor_queue_depth]
    interval: 1
    sql: SELECT pool AS resource, depth AS grace_executor_queue_depth FROM queue
"""


class Unavailable(Exception):
    """A peer that cannot be had on this machine; says why."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(*command: str) -> Iterator[int]:
    """A process; its id. It is ended with the block."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def tasks(folder: str, series: int) -> None:
    """A table with a row for each series."""
    with contextlib.closing(sqlite3.connect(f"{folder}/tasks.db")) as database, database:
        database.execute("CREATE TABLE queue (id INTEGER PRIMARY KEY, pool TEXT, depth INTEGER)")
        rows = [(number, f"pool-{number}", number) for number in range(series)]
        database.executemany("INSERT INTO queue VALUES (?, ?, ?)", rows)


@contextlib.contextmanager
def exporter(series: int, port: int, more: str = "") -> Iterator[int]:
    """Ours, reading every series anew each second."""
    with tempfile.TemporaryDirectory() as folder:
        tasks(folder, series)
        parts = series // 5000 + 1
        queries = "".join(QUERY.format(parts=parts, part=part) for part in range(parts))
        Path(folder, "exporter.yml").write_text(EXPORTER.format(folder=folder, queries=queries) + more)
        Path(folder, "grace.yml").write_text("exporter: exporter.yml\n")
        with ours(folder, port) as pid:
            yield pid


def ours(folder: str, port: int) -> contextlib.AbstractContextManager[int]:
    """Ours, over the `grace.yml` of a folder."""
    config = ("--config", f"{folder}/grace.yml", "--web.listen-address", f"127.0.0.1:{port}")
    return running(sys.executable, "-m", "grace", "exporter", *config)


@contextlib.contextmanager
def bare(series: int, port: int) -> Iterator[int]:
    """prometheus-client's own server."""
    with running(sys.executable, "-c", BARE, str(port), str(series)) as pid:
        yield pid


@contextlib.contextmanager
def query_exporter(series: int, port: int) -> Iterator[int]:
    """query-exporter, over the same table."""
    program = _query_exporter_program()
    with tempfile.TemporaryDirectory() as folder:
        tasks(folder, series)
        Path(folder, "config.yaml").write_text(QUERY_EXPORTER.format(folder=folder))
        with running(str(program), "-H", "127.0.0.1", "-p", str(port), "--config", f"{folder}/config.yaml") as pid:
            yield pid


@cache
def _query_exporter_program() -> Path:
    holder = tempfile.TemporaryDirectory(prefix="grace-bench-")
    _kept.append(holder)
    folder = Path(holder.name)
    venv.create(folder, with_pip=True)
    done = subprocess.run(
        [folder / "bin" / "pip", "install", "-q", "query-exporter"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Unavailable(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "pip failed")
    return folder / "bin" / "query-exporter"


_kept: list[tempfile.TemporaryDirectory[str]] = []
"""Environments, until the bench ends."""


@contextlib.contextmanager
def node_exporter(series: int, port: int) -> Iterator[int]:
    """node_exporter's textfile collector, whose file is written anew each second."""
    program = _node_exporter_program()
    with tempfile.TemporaryDirectory() as folder:
        stop = threading.Event()
        writer = threading.Thread(target=_write, args=(Path(folder), series, stop))
        writer.start()
        flags = ("--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={folder}")
        try:
            with running(str(program), *flags, f"--web.listen-address=127.0.0.1:{port}") as pid:
                yield pid
        finally:
            stop.set()
            writer.join()


def _node_exporter_program() -> Path:
    package = "prometheus-node-exporter"
    folder = Path(os.environ.get("GRACE_TOOLS") or Path(__file__).parent.parent / ".grace" / "tools")
    try:
        with locked(folder, lambda _: None):
            root = next(iter((folder / "packages").glob(f"{package}_*")), None)
            root = root or PackageFolder(folder, lambda _: None).unpack([package])[package]
    except (PackagesError, OSError) as error:
        raise Unavailable(str(error)) from error
    return root / "usr" / "bin" / package


def _write(folder: Path, series: int, stop: threading.Event) -> None:
    head = f"# HELP {SERIES} Tasks that wait for a worker.\n# TYPE {SERIES} gauge\n"
    count = 0
    while not stop.is_set():
        count += 1
        lines = "".join(f'{SERIES}{{resource="pool-{number}"}} {number + count}\n' for number in range(series))
        fresh = folder / "queue.new"
        fresh.write_text(head + lines)
        fresh.replace(folder / "queue.prom")
        stop.wait(1.0)
