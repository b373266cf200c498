"""Reads the audit log in a ledger file, read-only, whether or not a remediator is writing to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from remediator.audit.schema import COLUMNS
from remediator.audit.verify import BrokenSource, Row

_SELECT = f"SELECT {', '.join(COLUMNS)} FROM audit"  # noqa: S608  # the columns are our own constant
# sqlite3 fails to decode its own message where a damaged schema stands in it.
_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_TRIGGERS = ("audit_refuses_update", "audit_refuses_delete", "audit_appends_only")


class Unreadable(Exception):
    """There is no audit log to read here; the message says why and what to do."""


class LedgerFile:
    """The audit log of one SQLite ledger. Every method reads; raises Unreadable where it cannot."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise Unreadable(f"{path} is no ledger: there is no such file")
        self.path = path
        self.name = path.name
        self._connection = self._open()
        try:
            # One snapshot for everything that is read, whatever is written meanwhile.
            self._connection.execute("BEGIN")
            found = self._connection.execute("SELECT type FROM sqlite_master WHERE name = 'audit'").fetchone()
        except _ERRORS as error:
            self._connection.close()
            raise Unreadable(f"{path} cannot be read as a ledger: {error}") from error
        if found is None or found[0] != "table":
            self._connection.close()
            raise Unreadable(f"{path} holds no audit log")

    def _open(self) -> sqlite3.Connection:
        place = f"file:{quote(str(self.path.absolute()))}"
        connection = sqlite3.connect(f"{place}?mode=ro", uri=True, timeout=10, isolation_level=None)
        try:
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.OperationalError as error:
            connection.close()
            wal = self.path.with_name(self.path.name + "-wal")
            if error.sqlite_errorcode != sqlite3.SQLITE_CANTOPEN or (wal.exists() and wal.stat().st_size):
                raise Unreadable(f"{self.path} cannot be read: {error}") from error
            # In a folder that may not be written SQLite cannot share a WAL file; without one there is none to miss.
            connection = sqlite3.connect(f"{place}?mode=ro&immutable=1", uri=True, isolation_level=None)
        except _ERRORS as error:
            connection.close()
            raise Unreadable(f"{self.path} cannot be read as a ledger: {error}") from error
        return connection

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> LedgerFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(self, after: int = 0) -> Iterator[Row]:
        """Every row after `after`, in order. Raises BrokenSource where the file is damaged."""
        with closing(self._connection.cursor()) as cursor:
            try:
                cursor.execute(
                    f"{_SELECT} WHERE seq > ? ORDER BY seq" if after else f"{_SELECT} ORDER BY seq",
                    (after,) if after else (),
                )
                yield from cursor
            except _ERRORS as error:
                raise self._cause(error) from error

    def last(self, count: int) -> list[Row]:
        """The last `count` rows, oldest first."""
        try:
            rows: list[Row] = self._connection.execute(f"{_SELECT} ORDER BY seq DESC LIMIT ?", (count,)).fetchall()
        except _ERRORS as error:
            raise self._cause(error) from error
        return rows[::-1]

    def rest(self) -> None:
        """Let go of the snapshot until `refresh`: while one is held, a WAL file cannot be folded back, only grow."""
        self._connection.execute("COMMIT")

    def refresh(self) -> None:
        """After `rest`: see everything that was committed meanwhile."""
        self._connection.execute("BEGIN")

    def count(self) -> int:
        """Number of entries, for a progress display; 0 where the file is too damaged to say."""
        try:
            found = self._connection.execute("SELECT MAX(seq) FROM audit").fetchone()
        except _ERRORS:
            return 0
        return found[0] if found and isinstance(found[0], int) else 0

    def damage(self) -> str | None:
        """What is wrong with the table's structure in the file, beneath its values; None where nothing is."""
        try:
            lines: list[Any] = [line for (line,) in self._connection.execute("PRAGMA integrity_check('audit')")]
        except _ERRORS as error:
            return str(error)
        return None if lines == ["ok"] else "; ".join(str(line).replace("\n", " ") for line in lines[:3])

    def missing_triggers(self) -> tuple[str, ...]:
        """Append-only triggers that the database no longer has."""
        names = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
        return tuple(name for name in _TRIGGERS if name not in names)

    def _cause(self, error: sqlite3.DatabaseError | UnicodeDecodeError) -> Exception:
        code = getattr(error, "sqlite_errorcode", None)
        # Text that is not UTF-8 is reported without a code.
        if code is None or code & 0xFF in _DAMAGED:
            return BrokenSource(" ".join(str(error).split()))
        return Unreadable(f"{self.path} cannot be read: {error}")
