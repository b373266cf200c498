"""A real remediator on SQLite under load: how soon an alert is durable, how many there can be, what waiting costs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

from bench.figure import Figure
from remediator.pipeline.stages.approval import POLL_OF_ALL

SINGLE, MANY = 400, 6000
"""Posts by one client, and by all together."""
CLIENTS = 32
BATCHES, BATCH = 400, 50
HEALED = 200
RUNS, STEPS = 600, 3
"""Runs that are begun together, and the steps of each."""
WAITING = 10_000
PAST = 50_000
"""Incidents that ended, of which the metrics tell."""
WATCHED = 30.0
"""Seconds over which an idle process is watched."""
METRIC = "infra.cpu_utilization"
DATABASES = 32
_MEMORY = Path("/dev/shm")


def figures() -> Iterator[Figure]:
    """Each figure on a ledger of its own."""
    with _Remediator() as service:
        yield Figure("idle: resident memory", f"{service.memory():.1f} MB", "≤ 80 MB")
        taken = asyncio.run(_load(service, _bodies(SINGLE, 1), 1))
        yield Figure("accept, 1 client: p50", f"{_at(taken, 50) * 1000:.2f} ms", "≤ 3 ms")
        began = time.perf_counter()
        taken = asyncio.run(_load(service, _bodies(MANY, 1, "many"), CLIENTS))
        seconds = time.perf_counter() - began
        yield Figure(f"accept, {CLIENTS} clients, 1 alert a post", f"{MANY / seconds:,.0f}/s", "≥ 2,500/s")
        yield Figure(f"accept, {CLIENTS} clients: p99", f"{_at(taken, 99) * 1000:.1f} ms", "≤ 25 ms")
        bodies = _bodies(BATCHES, BATCH, "batch")
        began = time.perf_counter()
        asyncio.run(_load(service, bodies, CLIENTS))
        seconds = time.perf_counter() - began
        yield Figure(
            f"accept, {CLIENTS} clients, {BATCH} alerts a post",
            f"{BATCHES * BATCH / seconds:,.0f} alerts/s",
            "≥ 15,000 alerts/s",
        )
        yield Figure("after that load: resident memory", f"{service.memory():.0f} MB", "≤ 150 MB")
    with _Remediator(targets=HEALED) as service:
        yield from _reaction(service)
    with _Remediator(targets=RUNS, steps=STEPS) as service:
        yield _runs(service)
    with _Remediator() as service:
        yield from _waiting(service)
    with _Remediator() as service:
        yield from _scrapes(service)


def _reaction(service: _Remediator) -> Iterator[Figure]:
    """One alert at a time, from its acceptance to the first journaled intent of its run."""
    for number in range(HEALED):
        body = _body([("firing", f"t-{number}")])
        asyncio.run(_load(service, [body], 1))
        service.wait(f"SELECT count(*) > {number} FROM steps WHERE state = 'done'")
    rows = service.ask(
        "SELECT s.intended_at - a.received_at FROM steps s JOIN runs r ON r.id = s.run_id "
        "JOIN alerts a ON a.incident_id = r.incident_id"
    )
    taken = [row[0] for row in rows]
    yield Figure("POST to first step: p50", f"{_at(taken, 50) * 1000:.1f} ms", "≤ 20 ms")
    yield Figure("POST to first step: p99", f"{_at(taken, 99) * 1000:.1f} ms", "≤ 60 ms")


def _runs(service: _Remediator) -> Figure:
    """Many alerts at once, until every step of every run is done and journaled."""
    bodies = [_body([("firing", f"t-{number}")]) for number in range(RUNS)]
    began = time.perf_counter()
    asyncio.run(_load(service, bodies, CLIENTS))
    service.wait(f"SELECT count(*) = {RUNS} FROM runs WHERE acted_at IS NOT NULL", within=60.0)
    seconds = time.perf_counter() - began
    return Figure(f"full runs of {STEPS} steps, alert to last step", f"{RUNS / seconds:,.0f}/s", "≥ 90/s")


def _waiting(service: _Remediator) -> Iterator[Figure]:
    """One incident that waits for approval, copied, and then nothing but time."""
    asyncio.run(_load(service, [_body([("firing", "t-0")])], 1))
    service.wait("SELECT count(*) = 1 FROM approvals")
    service.stop()
    service.copy_waiting(WAITING)
    service.start()
    time.sleep(5.0)
    used = service.cpu()
    time.sleep(WATCHED)
    share = (service.cpu() - used) / WATCHED
    yield Figure(f"{WAITING:,} waiting approvals: share of a core", f"{share:.2%}", "≤ 1 %")
    yield Figure(f"{WAITING:,} waiting approvals: resident memory", f"{service.memory():.0f} MB", "≤ 150 MB")


def _scrapes(service: _Remediator) -> Iterator[Figure]:
    """One incident, copied, all of them ended: what a scrape costs the first time, and later."""
    asyncio.run(_load(service, [_body([("firing", "t-0")])], 1))
    service.wait("SELECT count(*) = 1 FROM approvals")
    service.stop()
    service.copy_waiting(PAST)
    service.end_all()
    service.start()
    taken = [service.scrape() for _ in range(21)]
    yield Figure(f"scrape, {PAST:,} ended incidents: first", f"{taken[0] * 1000:.0f} ms", "≤ 5,000 ms")
    yield Figure(f"scrape, {PAST:,} ended incidents: later, median", f"{statistics.median(taken[1:]) * 1000:.0f} ms")


def _bodies(count: int, alerts: int, prefix: str = "one") -> list[bytes]:
    return [
        _body([("firing", f"{prefix}-{number}-{part}") for part in range(alerts)], metric="nobodys.metric")
        for number in range(count)
    ]


def _body(alerts: Sequence[tuple[str, str]], metric: str = METRIC) -> bytes:
    """What Alertmanager posts; of a metric that no playbook answers where only the accepting is measured."""
    return json.dumps(
        {
            "version": "4",
            "status": "firing",
            "receiver": "grace",
            "groupKey": "{}",
            "truncatedAlerts": 0,
            "groupLabels": {},
            "commonLabels": {},
            "commonAnnotations": {},
            "externalURL": "http://127.0.0.1:9093",
            "alerts": [
                {
                    "status": status,
                    "labels": {
                        "alertname": "InfraCpuUtilization",
                        "severity": "critical",
                        "metric_id": metric,
                        "category": "infra",
                        "resource": resource,
                        "grace": "true",
                    },
                    "annotations": {"summary": "CPU utilization has been critical for three measurements"},
                    "startsAt": "2026-11-22T08:00:00.000Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "http://127.0.0.1:9090/graph",
                    "fingerprint": f"{zlib.crc32(resource.encode()):016x}",
                }
                for status, resource in alerts
            ],
        }
    ).encode()


async def _load(service: _Remediator, bodies: list[bytes], clients: int) -> list[float]:
    """Seconds that each post took; every one must be answered 202."""
    taken: list[float] = []
    waiting = iter(bodies)

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        for body in waiting:
            began = time.perf_counter()
            writer.write(service.head + str(len(body)).encode() + b"\r\n\r\n" + body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
            taken.append(time.perf_counter() - began)
            if not head.startswith(b"HTTP/1.1 202"):
                raise RuntimeError(f"{head.splitlines()[0].decode()}: {answer.decode()}")
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return taken


def _at(taken: list[float], percent: int) -> float:
    return statistics.quantiles(taken, n=100)[percent - 1]


class _Remediator:
    """One `grace remediator` process on a folder of its own."""

    def __init__(self, targets: int = 0, steps: int = 1) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="grace-bench-"))
        # What is healed lies in memory, in enough files: neither its disk nor its locks are measured.
        self.rows = Path(tempfile.mkdtemp(prefix="grace-bench-", dir=_MEMORY if _MEMORY.is_dir() else None))
        self.data = self.folder / "data"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._write(targets, steps)

    def __enter__(self) -> _Remediator:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for folder in (self.folder, self.rows):
            shutil.rmtree(folder, ignore_errors=True)

    def _write(self, targets: int, steps: int) -> None:
        names = [f"t-{number}" for number in range(targets or 1)]
        for file in range(DATABASES):
            with closing(sqlite3.connect(self.rows / f"{file}.db")) as db, db:
                db.execute("CREATE TABLE control (name TEXT PRIMARY KEY, value INTEGER)")
                db.executemany("INSERT INTO control VALUES (?, 64)", [(name,) for name in names[file::DATABASES]])
        documents: dict[str, Any] = {
            "grace.yml": {
                "data_dir": str(self.data),
                "inventory": "inventory.yml",
                "governance": "governance.yml",
                "catalog": ["overlay.yaml"],
                "remediator_url": f"http://127.0.0.1:{self.port}",
                "prometheus": {"url": "http://127.0.0.1:1", "timeout": "1s"},
                "alertmanager": {"url": "http://127.0.0.1:1"},
            },
            "governance.yml": {
                "evidence": "trust_alert" if targets else "required",
                "approval_expiry": "1d",
                "rates": {"per_target_hour": 100000, "all_hour": 100000},
                "storm": {"enter_groups": 100000, "leave_below": 1},
            },
            "overlay.yaml": {
                "metrics": [{"id": METRIC, "warning": ["step"], "critical": ["step"]}],
                "playbooks": [
                    {
                        "id": "step",
                        "title": "One step",
                        "tier": "tier_2",
                        "risk": "low",
                        "steps": [{"verb": "throttle", "args": {"factor": 0.5}}] * steps,
                        "verified_by": "containment",
                        "if_ineffective": "keep",
                        "release": "person",
                    }
                ],
            },
            "inventory.yml": {"targets": {f"t-{number}": _target(self.rows, number) for number in range(targets or 1)}},
        }
        for name, document in documents.items():
            (self.folder / name).write_text(json.dumps(document))

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "grace", "remediator", "--config", str(self.folder / "grace.yml")),
                    *("--web.listen-address", f"127.0.0.1:{self.port}"),
                ],
                stdout=log,
                stderr=log,
                env={**os.environ},
            )
        deadline = time.monotonic() + 30
        while not self._ready():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.05)
        token = (self.data / "tokens" / "alertmanager").read_text()
        self.head = (
            f"POST /api/v1/alerts HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)

    def memory(self) -> float:
        """Resident memory in MB."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6

    def cpu(self) -> float:
        """Seconds of a core used so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.data}/ledger.db?mode=ro", uri=True, timeout=10)) as db:
            return db.execute(question).fetchall()

    def wait(self, question: str, within: float = 20.0) -> None:
        deadline = time.monotonic() + within
        while not self.ask(question)[0][0]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"in vain: {question}\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.002)

    def scrape(self) -> float:
        """Seconds that it took to be told all metrics."""
        began = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            answer.read()
        return time.perf_counter() - began

    def end_all(self) -> None:
        """What waits has healed."""
        with closing(sqlite3.connect(self.data / "ledger.db")) as db, db:
            db.execute(
                "UPDATE incidents SET state = 'closed', outcome = 'healed', closed_at = opened_at + 60, wake_at = NULL"
            )
            db.execute(
                "UPDATE runs SET state = 'healed', outcome = 'healed', acted_at = created_at + 1, "
                "ended_at = created_at + 50"
            )
            db.execute("UPDATE approvals SET status = 'approved', decided_at = created_at + 9")

    def copy_waiting(self, count: int) -> None:
        """The one waiting incident, its run and its approval, so many times; their times to wake lie spread out."""
        with closing(sqlite3.connect(self.data / "ledger.db")) as db, db:
            for table, keys in (("incidents", ("id",)), ("runs", ("id", "incident_id")), ("approvals", _APPROVAL)):
                columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
                fresh = ", ".join(
                    f"\"{name}\" || '-' || n"
                    if name in (*keys, "resource")
                    # As they would lie after a while: each asks for its own time when it has been looked at.
                    else f"{time.time()} + n * {POLL_OF_ALL}"
                    if name == "wake_at"
                    else f'"{name}"'
                    for name in columns
                )
                named = ", ".join(f'"{name}"' for name in columns)
                db.execute(
                    f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count - 1}) "
                    f"INSERT INTO {table} ({named}) SELECT {fresh} FROM {table}, c"
                )


_APPROVAL = ("id", "run_id", "incident_id")


def _target(rows: Path, number: int) -> dict[str, Any]:
    name = f"t-{number}"
    setting = {
        "read": f"SELECT value FROM control WHERE name = '{name}'",
        "write": f"UPDATE control SET value = :value WHERE name = '{name}'",
        "min": 1,
    }
    config = {"url": f"sqlite:///{rows / str(number % DATABASES)}.db", "settings": {"throttle": setting}}
    return {"driver": "sql", "resources": [name], "config": config}
