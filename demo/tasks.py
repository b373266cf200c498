"""The table of tasks: who enqueues, claims and finishes them, and what the pool's workers say of themselves.

A task belongs to the worker whose name stands in it for as long as that worker's heart beats; then it waits again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HEARTBEAT_EVERY = 1.0
"""Seconds between a worker's heartbeats."""
DEAD_AFTER = 5.0
"""Seconds without a heartbeat after which a worker counts as dead and its tasks wait again."""
KEEP_FINISHED = 600.0
"""Seconds for which finished tasks are kept."""
MOST_WAITING = 20_000
"""Tasks that may wait; more are turned away, so that a forgotten flood cannot fill the disk."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    id INTEGER PRIMARY KEY,
    enqueued_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    worker TEXT,
    cost REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS tasks_waiting ON tasks (id) WHERE started_at IS NULL;
CREATE INDEX IF NOT EXISTS tasks_claimed ON tasks (worker) WHERE started_at IS NOT NULL AND finished_at IS NULL;
CREATE INDEX IF NOT EXISTS tasks_finished ON tasks (finished_at) WHERE finished_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS workers (
    name TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    busy REAL NOT NULL,
    heartbeat_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS bursts (since REAL PRIMARY KEY);
"""

DEPTH = """
SELECT count(*) AS depth, min(enqueued_at) AS oldest FROM tasks WHERE started_at IS NULL
"""
# SQLite's own clock, as a fraction of seconds: the heartbeats are Python's time.time().
LIVE = f"""
SELECT count(*) AS workers, coalesce(sum(busy), 0.0) AS busy FROM workers
WHERE heartbeat_at > (julianday('now') - 2440587.5) * 86400.0 - {DEAD_AFTER}
"""  # noqa: S608 (a number of ours)

_CLAIM = """
UPDATE tasks SET started_at = :now, worker = :worker
WHERE id = (SELECT id FROM tasks WHERE started_at IS NULL ORDER BY id LIMIT 1)
RETURNING id, cost
"""
_REQUEUE = """
UPDATE tasks SET started_at = NULL, worker = NULL
WHERE started_at IS NOT NULL AND finished_at IS NULL
  AND worker NOT IN (SELECT name FROM workers WHERE heartbeat_at > :oldest)
"""


@dataclass(frozen=True, slots=True)
class Task:
    """One claimed task: `cost` seconds of waiting for something outside."""

    id: int
    cost: float


class TaskTable:
    """tasks.db through one connection; for one thread. Every method is one transaction."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=10.0, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")

    def create(self) -> None:
        """Make the tables where they are missing."""
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        self._db.close()

    def enqueue(self, count: int, cost: float, now: float) -> int:
        """Let that many tasks wait, and return how many there was room for."""
        with self._transaction():
            return self._enqueue(count, cost, now)

    def enqueue_burst(self, since: float, count: int, cost: float, now: float) -> int:
        """`enqueue`, but only once for the same `since`, however often it is asked for."""
        with self._transaction():
            fresh = self._db.execute("INSERT OR IGNORE INTO bursts VALUES (?)", (since,)).rowcount
            return self._enqueue(count, cost, now) if fresh else 0

    def claim(self, worker: str, now: float) -> Task | None:
        """The oldest waiting task, from now on this worker's; None where none waits."""
        with self._transaction():
            row = self._db.execute(_CLAIM, {"worker": worker, "now": now}).fetchone()
        return Task(*row) if row else None

    def finish(self, task: Task, worker: str, now: float) -> bool:
        """Mark it done; False when it is no longer this worker's (it seemed dead, and another took over)."""
        with self._transaction():
            done = self._db.execute(
                "UPDATE tasks SET finished_at = ? WHERE id = ? AND worker = ? AND finished_at IS NULL",
                (now, task.id, worker),
            )
        return done.rowcount == 1

    def give_back(self, task: Task, worker: str) -> None:
        """Let a task that this worker cannot do wait again."""
        with self._transaction():
            self._db.execute(
                "UPDATE tasks SET started_at = NULL, worker = NULL WHERE id = ? AND worker = ? AND finished_at IS NULL",
                (task.id, worker),
            )

    def requeue_of_dead(self, now: float) -> int:
        """Let the tasks of dead workers wait again, and return how many there were."""
        with self._transaction():
            return self._db.execute(_REQUEUE, {"oldest": now - DEAD_AFTER}).rowcount

    def beat(self, worker: str, pid: int, busy: float, now: float) -> None:
        """Say that this worker lives, and which share (0-1) of the last seconds it was busy."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?)", (worker, pid, busy, now))

    def leave(self, worker: str) -> None:
        """Say that this worker ends in good order."""
        with self._transaction():
            self._db.execute("DELETE FROM workers WHERE name = ?", (worker,))

    def forget(self, now: float) -> None:
        """Delete what nobody needs any more: long finished tasks, long dead workers, old bursts."""
        with self._transaction():
            self._db.execute("DELETE FROM tasks WHERE finished_at < ?", (now - KEEP_FINISHED,))
            self._db.execute("DELETE FROM workers WHERE heartbeat_at < ?", (now - KEEP_FINISHED,))
            self._db.execute("DELETE FROM bursts WHERE since < ?", (now - 86400.0,))

    def waiting(self) -> int:
        """Tasks that nobody has claimed."""
        return int(self._db.execute(DEPTH).fetchone()[0])

    def live(self) -> tuple[int, float]:
        """How many workers live, and the sum of their busy shares."""
        workers, busy = self._db.execute(LIVE).fetchone()
        return int(workers), float(busy)

    def _enqueue(self, count: int, cost: float, now: float) -> int:
        room = max(0, min(count, MOST_WAITING - self.waiting()))
        self._db.executemany("INSERT INTO tasks (enqueued_at, cost) VALUES (?, ?)", [(now, cost)] * room)
        return room

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
