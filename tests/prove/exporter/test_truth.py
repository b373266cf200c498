"""Every one of the 17 metrics, as Prometheus has it of the running demo, against the truth computed another way.

The truth is read from /proc, from the databases' rows, from the files on the volume and from the log of whoever calls
the API; then it is changed, and the metrics must follow. Governance is frozen, so that nothing heals meanwhile.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import statistics
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from demo import faults
from demo.archive import QUOTA
from demo.layout import SHARDS, layout
from demo.workload import SHARD_CORES, SHARD_MEMORY
from remediator.ledger.schema import runs
from remediator.ledger.sqlite import sqlite_engine
from remediator.model import new_id
from tests.acceptance.conftest import Loop

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]

SPAN = 24.0
"""Seconds over which rates and shares of time are compared."""
WITHIN = 120.0
"""Seconds in which a metric must agree with the truth."""


class Truth:
    """What is so, without asking Grace."""

    def __init__(self, loop: Loop) -> None:
        self.place = layout(loop.data)

    def calls(self, span: float) -> list[dict[str, Any]]:
        """What the visitor's log says of the last seconds."""
        logs = [self.place.load_log.with_suffix(".old.jsonl"), self.place.load_log]
        since = time.time() - span
        lines = [line for log in logs if log.exists() for line in log.read_text().splitlines()]
        found = [json.loads(line) for line in lines if line.endswith("}")]
        return [each for each in found if each["at"] >= since]

    def masters(self) -> dict[str, int]:
        return {shard: int(self.place.shard_pidfile(shard).read_text()) for shard in SHARDS}

    def tree(self, pid: int) -> list[psutil.Process]:
        master = psutil.Process(pid)
        return [master, *master.children(recursive=True)]

    def api_workers(self) -> int:
        return sum(len(self.tree(pid)) - 1 for pid in self.masters().values())

    def cpu_seconds(self, shard: str) -> float:
        times = [each.cpu_times() for each in self.tree(self.masters()[shard])]
        return sum(each.user + each.system + each.children_user + each.children_system for each in times)

    def memory(self, shard: str) -> float:
        held = 0
        for process in self.tree(self.masters()[shard]):
            rolled = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            held += int(rolled.split("Pss:")[1].split()[0]) * 1024
        return held / SHARD_MEMORY

    def disk(self) -> float:
        files = [path for path in self.place.volume.rglob("*") if path.is_file()]
        return sum(path.stat().st_size for path in files) / QUOTA

    def latency(self) -> float:
        return statistics.quantiles([call["ms"] / 1000 for call in self.calls(SPAN)], n=20)[18]

    def errors(self) -> float:
        calls = self.calls(SPAN)
        return sum(call["status"] >= 500 for call in calls) / len(calls)

    def rate_per_worker(self) -> float:
        return len(self.calls(SPAN)) / SPAN / self.api_workers()

    def rows(self, database: Path, query: str, *given: Any) -> list[Any]:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute(query, given).fetchall()

    def waiting(self) -> list[float]:
        """When each task was enqueued that waits."""
        return [at for (at,) in self.rows(self.place.tasks, "SELECT enqueued_at FROM tasks WHERE started_at IS NULL")]

    def oldest(self) -> float:
        waiting = self.waiting()
        return time.time() - min(waiting) if waiting else 0.0

    def pool_busy(self) -> float:
        """Which share of the last seconds the workers spent on tasks."""
        now, workers = time.time(), 0
        for process in psutil.process_iter(["cmdline", "status"]):
            line = " ".join(process.info["cmdline"] or [])
            workers += "demo.worker" in line and str(self.place.root.parent) in line
        query = (
            "SELECT started_at, coalesce(finished_at, ?) FROM tasks WHERE coalesce(finished_at, ?) > ? AND started_at"
        )
        spent = self.rows(self.place.tasks, query, now, now, now - SPAN)
        return sum(end - max(begun, now - SPAN) for begun, end in spent) / SPAN / max(workers, 1)

    def since(self, table: str, column: str, span: float, condition: str = "1") -> int:
        query = f"SELECT count(*) FROM {table} WHERE {column} > ? AND {condition}"
        return int(self.rows(self.place.learning, query, time.time() - span)[0][0])

    def pending(self, loop: Loop) -> int:
        return len(loop.items("/api/v1/approvals?state=pending"))


class Told:
    """What Prometheus recorded."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def ask(self, query: str) -> float | None:
        said = self.loop.text("prometheus", f"/api/v1/query?query={urllib.parse.quote(query)}")
        result = json.loads(said)["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def now(self, metric: str, resource: str) -> float | None:
        return self.ask(
            f'last_over_time(resource:grace_value:sample{{metric_id="{metric}",resource="{resource}"}}[15s])'
        )

    def mean(self, metric: str, resource: str) -> float | None:
        series = f'resource:grace_value:sample{{metric_id="{metric}",resource="{resource}"}}'
        return self.ask(f"avg_over_time({series}[{SPAN:g}s])")

    def sum(self, metric: str, resource: str) -> float | None:
        series = f'resource:grace_value:sample{{metric_id="{metric}",resource="{resource}"}}'
        return self.ask(f"sum_over_time({series}[{SPAN:g}s])")

    def window(self, metric: str, resource: str) -> float | None:
        series = f'resource:grace_value:window{{metric_id="{metric}",resource="{resource}"}}'
        return self.ask(f"last_over_time({series}[15s])")


@pytest.fixture(scope="module")
def truth(loop: Loop) -> Truth:
    done = loop.grace("governance", "freeze", "--reason", "truths are compared")
    assert done.returncode == 0, done.stderr
    return Truth(loop)


@pytest.fixture(scope="module")
def told(loop: Loop) -> Told:
    return Told(loop)


@pytest.fixture(autouse=True)
def whole(truth: Truth) -> Iterator[None]:
    yield
    faults.clear(truth.place.faults)


def agree(
    measured: Callable[[], float | None], true: Callable[[], float | None], *, share: float, least: float
) -> float:
    """Wait until what is measured is the truth, give or take a share of it or `least`; the truth then."""
    seen: list[str] = []
    end = time.monotonic() + WITHIN
    while time.monotonic() < end:
        value, should = measured(), true()
        seen.append(f"{value} for {should}")
        if value is not None and should is not None and abs(value - should) <= max(share * should, least):
            return should
        time.sleep(1.0)
    raise AssertionError(f"never agreed: {seen[-10:]}")


def test_requests_as_their_caller_saw_them(told: Told, truth: Truth) -> None:
    def all_agree() -> Sequence[float]:
        return (
            agree(lambda: told.mean("api.latency_p95", "api"), truth.latency, share=0.3, least=0.06),
            agree(lambda: told.mean("api.error_rate", "api"), truth.errors, share=0.3, least=0.02),
            agree(lambda: told.mean("api.request_rate", "api"), truth.rate_per_worker, share=0.25, least=0.2),
        )

    before = all_agree()
    faults.inject(truth.place.faults, "slow-api", time.time())
    faults.inject(truth.place.faults, "errors", time.time())
    until = time.monotonic() + WITHIN
    while truth.errors() < 0.1 or truth.latency() < 0.3:
        assert time.monotonic() < until
        time.sleep(1.0)
    after = all_agree()
    assert after[0] > before[0] + 0.1
    assert after[1] > before[1] + 0.05
    assert after[2] < before[2]


def test_a_worker_is_busy_for_no_less_than_its_calls_and_no_more(told: Told, truth: Truth) -> None:
    def bounds() -> tuple[float, float]:
        calls = sorted((call["at"], call["at"] + call["ms"] / 1000) for call in truth.calls(SPAN))
        together, end = 0.0, 0.0
        for begun, ended in calls:
            together += max(0.0, ended - max(begun, end))
            end = max(end, ended)
        workers = truth.api_workers() * SPAN
        return together / workers, sum(ended - begun for begun, ended in calls) / workers

    def holds() -> bool:
        least, most = bounds()
        value = told.mean("api.saturation", "api")
        return value is not None and 0.5 * least - 0.03 <= value <= 1.3 * most + 0.03

    told.loop.until(holds, WITHIN)
    before = told.mean("api.saturation", "api")
    faults.inject(truth.place.faults, "slow-api", time.time())
    told.loop.until(lambda: (told.mean("api.saturation", "api") or 0) > (before or 0) + 0.1 and holds(), WITHIN)


def test_the_queue_as_its_table_has_it(told: Told, truth: Truth) -> None:
    def all_agree() -> Sequence[float]:
        return (
            agree(
                lambda: told.now("executor.queue_depth", "workers"), lambda: len(truth.waiting()), share=0.1, least=2
            ),
            agree(lambda: told.now("executor.task_latency", "workers"), truth.oldest, share=0.1, least=5),
            agree(lambda: told.mean("executor.worker_utilization", "workers"), truth.pool_busy, share=0.2, least=0.12),
        )

    before = all_agree()
    with closing(sqlite3.connect(truth.place.tasks, timeout=10)) as tasks, tasks:
        rows = [(time.time(), 1.0)] * 150
        tasks.executemany("INSERT INTO tasks (enqueued_at, cost) VALUES (?, ?)", rows)
    time.sleep(SPAN)
    after = all_agree()
    assert after[0] > before[0] + 20
    assert after[1] > before[1] + 10
    assert after[2] > before[2] + 0.2
    with closing(sqlite3.connect(truth.place.tasks, timeout=10)) as tasks, tasks:
        tasks.execute("DELETE FROM tasks WHERE started_at IS NULL")
    agree(lambda: told.now("executor.queue_depth", "workers"), lambda: len(truth.waiting()), share=0.1, least=2)


def learn(database: Path, good: bool) -> None:
    """Ten sessions now, each with six sources and two runs, and a block in four of them."""
    now = time.time()
    with closing(sqlite3.connect(database, timeout=10)) as rows, rows:
        for number in range(10):
            session = rows.execute("INSERT INTO sessions (started_at) VALUES (?)", (now,)).lastrowid
            sources = [(session, "s", "d", good or source < 2, now) for source in range(6)]
            rows.executemany(
                "INSERT INTO sources (session_id, source, document, verified, checked_at) VALUES (?, ?, ?, ?, ?)",
                sources,
            )
            runs = [(session, good or run < 1, now) for run in range(2)]
            rows.executemany("INSERT INTO sandbox_runs (session_id, passed, ran_at) VALUES (?, ?, ?)", runs)
            if number < 4:
                block = (session, "d", "r", now)
                rows.execute("INSERT INTO blocks (session_id, document, rule, blocked_at) VALUES (?, ?, ?, ?)", block)


def test_learning_as_its_rows_have_it(told: Told, truth: Truth) -> None:
    # In the drill profile a window is one interval of 6 s; when it was evaluated last is up to another one ago.
    recently = 8.0

    def counted(metric: str, table: str, column: str) -> Callable[[], None]:
        def check() -> None:
            agree(
                lambda: told.sum(f"learning.{metric}", "ingestion"),
                lambda: truth.since(table, column, SPAN),
                share=0.1,
                least=1,
            )

        return check

    def share(metric: str, table: str, column: str, good: str) -> Callable[[], None]:
        def true() -> float:
            return truth.since(table, column, recently, good) / max(truth.since(table, column, recently), 1)

        return lambda: agree(lambda: told.window(f"learning.{metric}", "ingestion"), true, share=0, least=0.1) and None

    checks = (
        counted("sessions_started", "sessions", "started_at"),
        counted("governance_blocks", "blocks", "blocked_at"),
        share("sources_verified", "sources", "checked_at", "verified"),
        share("sandbox_pass_rate", "sandbox_runs", "ran_at", "passed"),
    )
    for good in (True, False):
        for check in checks:
            learn(truth.place.learning, good)
            # The rows are there at once: who agrees with them has followed.
            check()


def test_hosts_as_the_kernel_has_them(told: Told, truth: Truth) -> None:
    def used(shard: str) -> Callable[[], float | None]:
        marks: list[tuple[float, float]] = []

        def true() -> float | None:
            """None until it was looked at for as long as the metric is."""
            marks.append((time.monotonic(), truth.cpu_seconds(shard)))
            while marks[-1][0] - marks[0][0] > SPAN + 2:
                marks.pop(0)
            passed = marks[-1][0] - marks[0][0]
            return (marks[-1][1] - marks[0][1]) / passed / SHARD_CORES if passed >= SPAN - 2 else None

        return true

    for shard in SHARDS:
        agree(
            lambda shard=shard: told.now("infra.memory_utilization", shard),
            lambda shard=shard: truth.memory(shard),
            share=0.1,
            least=0.01,
        )
    before = [
        agree(lambda shard=shard: told.mean("infra.cpu_utilization", shard), used(shard), share=0.25, least=0.05)
        for shard in SHARDS
    ]
    memory = truth.memory("api-1")
    faults.inject(truth.place.faults, "cpu", time.time())
    os.kill(truth.masters()["api-1"], signal.SIGTTIN)
    told.loop.until(lambda: truth.memory("api-1") > memory * 1.2, WITHIN)
    agree(lambda: told.now("infra.memory_utilization", "api-1"), lambda: truth.memory("api-1"), share=0.1, least=0.01)
    time.sleep(SPAN)
    after = agree(lambda: told.mean("infra.cpu_utilization", "api-1"), used("api-1"), share=0.25, least=0.05)
    assert after > before[0] + 0.2


def test_the_volume_as_its_files_have_it(told: Told, truth: Truth) -> None:
    def check() -> float:
        return agree(lambda: told.now("infra.disk_usage", "demo-volume"), truth.disk, share=0.02, least=0.01)

    before = check()
    large = truth.place.volume / "large"
    large.write_bytes(bytes(QUOTA // 4))
    assert check() > before + 0.2
    large.unlink()
    assert check() < before + 0.05


def test_autonomy_as_the_remediator_has_it(told: Told, truth: Truth) -> None:
    loop = told.loop

    def check() -> float:
        return agree(
            lambda: told.now("autonomy.approvals_pending", "grace"), lambda: truth.pending(loop), share=0, least=0
        )

    assert loop.grace("governance", "unfreeze", "--reason", "one thing to approve").returncode == 0
    before = check()
    loop.grace("run", "stop-ingestion-cycle", "--target", "ingestion")
    assert check() == before + 1


VERIFIED = ("healed", "ineffective", "rolled_back", "undo_failed")
"""How a run ends that was verified by its metric."""
DAY = 86400.0


def ended(data: Path, hours: float = 1.0, **outcomes: int) -> None:
    """Runs that ended some hours ago, so many with each outcome, in the ledger of the running remediator."""
    at = time.time() - hours * 3600
    what = {"playbook_id": "restart-workers", "target": "api", "group": "api", "tier": 2, "by": "grace"}
    why = {"verdict": "allow", "reasons": [], "confidence": 0.8, "evidence": "", "digest": "0" * 64, "plan": []}
    when = {"created_at": at - 60, "started_at": at - 50, "acted_at": at - 40, "ended_at": at}
    rows = [
        {**what, **why, **when, "id": new_id("run", at), "state": outcome, "outcome": outcome}
        for outcome, count in outcomes.items()
        for _ in range(count)
    ]
    engine = sqlite_engine(data / "ledger.db", writer=True)
    try:
        with engine.begin() as connection:
            connection.execute(sa.insert(runs), rows)
    finally:
        engine.dispose()


def test_shares_of_runs_as_the_ledger_has_them(told: Told, truth: Truth) -> None:
    ledger = told.loop.data / "ledger.db"

    def share(*outcomes: str) -> float | None:
        """Of the runs of a day that were verified by their metric; None for fewer than ten of them."""
        query = "SELECT outcome FROM runs WHERE ended_at > ? AND outcome IS NOT NULL"
        found = [outcome for (outcome,) in truth.rows(ledger, query, time.time() - DAY) if outcome in VERIFIED]
        return sum(outcome in outcomes for outcome in found) / len(found) if len(found) >= 10 else None

    def follows(metric: str, *outcomes: str) -> float:
        return agree(lambda: told.now(f"autonomy.{metric}", "grace"), lambda: share(*outcomes), share=0, least=1e-6)

    def both_follow() -> tuple[float, float]:
        return follows("plan_success_rate", "healed"), follows("rollback_rate", "rolled_back", "undo_failed")

    # Fewer than ten runs were verified: their shares are nobody's to tell. Neither old runs nor others count.
    assert share("healed") is None
    ended(told.loop.data, hours=25, healed=20)
    ended(told.loop.data, failed=20, effective=20)
    since = time.time()
    measured = 'grace_sample_timestamp_seconds{metric_id="autonomy.rollback_rate"}'
    told.loop.until(lambda: (told.ask(measured) or 0.0) > since, WITHIN)
    assert told.ask("grace_autonomy_rollback_ratio") is None
    bands = {row["metric_id"]: row["band"] for row in told.loop.status()["metrics"]}
    for metric in ("autonomy.plan_success_rate", "autonomy.rollback_rate"):
        assert told.now(metric, "grace") is None
        assert bands[metric] == "idle"

    ended(told.loop.data, healed=19, ineffective=1)
    success, rollback = both_follow()
    assert success >= 0.9
    assert rollback < 0.05
    ended(told.loop.data, rolled_back=4, undo_failed=1)
    worse = both_follow()
    assert worse[0] < success - 0.1
    assert worse[1] > rollback + 0.1
