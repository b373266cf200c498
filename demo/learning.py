"""The table of what ingestion learned: append-only facts, and the settings that it obeys."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS control (name TEXT PRIMARY KEY, value NUMERIC NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (id INTEGER PRIMARY KEY, started_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS sources (
    id INTEGER PRIMARY KEY,
    session_id INTEGER NOT NULL REFERENCES sessions (id),
    source TEXT NOT NULL,
    document TEXT NOT NULL,
    verified INTEGER NOT NULL,
    checked_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS sandbox_runs (
    id INTEGER PRIMARY KEY,
    session_id INTEGER NOT NULL REFERENCES sessions (id),
    passed INTEGER NOT NULL,
    ran_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS blocks (
    id INTEGER PRIMARY KEY,
    session_id INTEGER NOT NULL REFERENCES sessions (id),
    document TEXT NOT NULL,
    rule TEXT NOT NULL,
    blocked_at REAL NOT NULL
);
"""

COUNTS = """
SELECT (SELECT count(*) FROM sessions) AS sessions,
       (SELECT count(*) FROM blocks) AS blocks,
       (SELECT count(*) FROM sources) AS checked,
       (SELECT count(*) FROM sources WHERE verified) AS verified,
       (SELECT count(*) FROM sandbox_runs) AS runs,
       (SELECT count(*) FROM sandbox_runs WHERE passed) AS passes
"""


@dataclass(frozen=True, slots=True)
class Control:
    """What ingestion obeys: whether it pauses, and how many sessions a minute it may start."""

    paused: bool
    rate_limit: float


class LearningTable:
    """learning.db through one connection; for one thread. Times are epoch seconds."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=10.0, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")

    def create(self, rate_limit: float) -> None:
        """Make the tables where they are missing; settings that are there stay as they are."""
        self._db.executescript(SCHEMA)
        self._db.executemany("INSERT OR IGNORE INTO control VALUES (?, ?)", [("paused", 0), ("rate_limit", rate_limit)])

    def close(self) -> None:
        self._db.close()

    def control(self) -> Control:
        """The settings as they stand."""
        settings = dict(self._db.execute("SELECT name, value FROM control"))
        return Control(paused=bool(float(settings["paused"])), rate_limit=float(settings["rate_limit"]))

    def last_session(self) -> float | None:
        """When the newest session started; None before the first."""
        newest = self._db.execute("SELECT max(started_at) FROM sessions").fetchone()[0]
        return None if newest is None else float(newest)

    def start_session(self, now: float) -> int:
        """Record that a session starts, and return its number (from 1)."""
        number = self._db.execute("INSERT INTO sessions (started_at) VALUES (?)", (now,)).lastrowid
        assert number is not None
        return number

    def checked(self, session: int, source: str, document: str, verified: bool, now: float) -> None:
        """Record whether a fetched document was what its manifest says."""
        self._db.execute(
            "INSERT INTO sources (session_id, source, document, verified, checked_at) VALUES (?, ?, ?, ?, ?)",
            (session, source, document, verified, now),
        )

    def ran(self, session: int, passed: bool, now: float) -> None:
        """Record one sandbox run."""
        self._db.execute(
            "INSERT INTO sandbox_runs (session_id, passed, ran_at) VALUES (?, ?, ?)", (session, passed, now)
        )

    def blocked(self, session: int, document: str, rule: str, now: float) -> None:
        """Record that a rule kept a document from being learned."""
        self._db.execute(
            "INSERT INTO blocks (session_id, document, rule, blocked_at) VALUES (?, ?, ?, ?)",
            (session, document, rule, now),
        )

    def counts(self) -> dict[str, int]:
        """All that ever happened: sessions, blocks, checked, verified, runs, passes."""
        cursor = self._db.execute(COUNTS)
        return dict(zip((column[0] for column in cursor.description), cursor.fetchone(), strict=True))
