"""Reads the audit log in a PostgreSQL ledger, read-only, whether or not remediators are writing to it."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.audit.schema import COLUMNS, TRIGGERS
from remediator.audit.store import Unreadable
from remediator.audit.verify import Row

TOGETHER = 2000
"""Rows fetched at a time."""
_AUDIT = sa.table("audit", *(sa.column(name) for name in COLUMNS))
_TRIGGERS_ON = (
    "SELECT tgname FROM pg_trigger WHERE tgrelid = 'audit'::regclass AND tgenabled IN ('O', 'A') AND NOT tgisinternal"
)


class LedgerDatabase:
    """The audit log of one PostgreSQL ledger, as `LedgerFile` is that of a file. Raises Unreadable where it cannot."""

    def __init__(self, url: str) -> None:
        found = sa.engine.make_url(url)
        self.name = f"the database {found.database or 'postgres'}"
        try:
            self._engine = sa.create_engine(
                found.set(drivername="postgresql+psycopg"),
                isolation_level="REPEATABLE READ",
                hide_parameters=True,
                connect_args={"connect_timeout": 5, "options": "-c default_transaction_read_only=on"},
            )
        except ModuleNotFoundError as error:
            raise Unreadable(f"a ledger in PostgreSQL needs {error.name}: install grace[postgres]") from error
        self._connection = self._open()
        self.refresh()

    def _open(self) -> Connection:
        try:
            connection = self._engine.connect()
            there = sa.inspect(connection).has_table("audit")
        except sa.exc.SQLAlchemyError as error:
            self._engine.dispose()
            cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise Unreadable(f"{self.name} cannot be read: {cause}") from error
        if not there:
            connection.close()
            self._engine.dispose()
            raise Unreadable(f"{self.name} holds no audit log")
        return connection

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()

    def __enter__(self) -> LedgerDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(self, after: int = 0) -> Iterator[Row]:
        """Every row after `after`, in order."""
        query = sa.select(_AUDIT).where(_AUDIT.c.seq > after).order_by(_AUDIT.c.seq)
        try:
            for row in self._connection.execution_options(yield_per=TOGETHER).execute(query):
                yield tuple(row)
        except sa.exc.SQLAlchemyError as error:
            raise Unreadable(f"{self.name} cannot be read: {type(error).__name__}") from error

    def last(self, count: int) -> list[Row]:
        """The last `count` rows, oldest first."""
        query = sa.select(_AUDIT).order_by(_AUDIT.c.seq.desc()).limit(count)
        return [tuple(row) for row in self._connection.execute(query)][::-1]

    def rest(self) -> None:
        """Let go of the snapshot until `refresh`: while one is held, the server cannot clean up behind it."""
        self._connection.rollback()

    def refresh(self) -> None:
        """After `rest`: see everything that was committed meanwhile."""
        self._connection.rollback()

    def count(self) -> int:
        """Number of entries, for a progress display."""
        return int(self._connection.execute(sa.select(sa.func.max(_AUDIT.c.seq))).scalar() or 0)

    def damage(self) -> str | None:
        """What is wrong beneath the values; the server checks its own pages when it reads them."""
        return None

    def missing_triggers(self) -> tuple[str, ...]:
        """Append-only triggers that the database no longer has, or no longer fires."""
        on = {name for (name,) in self._connection.exec_driver_sql(_TRIGGERS_ON)}
        wanted = [line.split()[2] for line in TRIGGERS["postgresql"] if line.startswith("CREATE TRIGGER")]
        return tuple(name for name in wanted if name not in on)
