"""SQLite files as the `sql` collector reads them: without SQLAlchemy, which would cost a third of the memory."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from exporter.collectors.base import CollectError, first_line

PREFIX = "sqlite:///"
STEPS = 10_000
"""Virtual machine instructions between two looks at the clock."""


class SqliteDatabase:
    """One file: opened read-only for each query, never created; a long query is interrupted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self, sql: str, parameters: Mapping[str, Any], timeout: float, most: int) -> Sequence[Mapping[str, Any]]:
        """The query's rows, at most so many, within `timeout` seconds. Raises CollectError."""
        until = time.monotonic() + timeout
        uri = f"file:{quote(str(self._path))}?mode=ro"
        try:
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=timeout)) as connection:
                connection.execute("PRAGMA query_only = ON")
                connection.set_progress_handler(lambda: time.monotonic() > until, STEPS)
                cursor = connection.execute(sql, dict(parameters))
                if cursor.description is None:
                    raise CollectError("the query gives no rows: write a SELECT")
                columns = [column[0] for column in cursor.description]
                return [dict(zip(columns, row, strict=True)) for row in cursor.fetchmany(most)]
        except sqlite3.Error as error:
            raise CollectError(first_line(error)) from error

    def close(self) -> None:
        """Nothing is held."""
