"""The one small interface to the durable store, and what a statement sees of it: a transaction.

Two engines stand behind it: `remediator.ledger.sqlite` (embedded, one process) and `remediator.ledger.postgres`
(several replicas). The statement functions are the same; each engine is imported only when it is opened.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.audit.chain import Chain
from remediator.clock import Clock
from remediator.errors import GraceError
from remediator.ledger import schema
from remediator.ledger.prepared import Prepared

T = TypeVar("T")

BATCH = 256
"""Most functions that share one COMMIT."""
WAITING = 2048
"""Most functions that may wait to be written; more are turned away at once."""


class LedgerUnavailable(GraceError):
    """Not known to be stored: disk full, locked, broken, away, closing, or too many waiting. Try again later."""


class LedgerRefused(GraceError):
    """This ledger cannot be used: a newer schema, another process has it, not a database. Not worth another try."""


@dataclass(slots=True)
class Tx:
    """One transaction, as a statement sees it."""

    connection: Connection
    now: float
    """Epoch seconds: the database's own on PostgreSQL, where several clocks would disagree."""
    chain: Chain | None
    on_commit: list[Callable[[], None]] = field(default_factory=list)
    """Called on the event loop once what was written is durable."""

    def record(
        self,
        kind: str,
        body: dict[str, Any],
        *,
        incident_id: str | None = None,
        run_id: str | None = None,
        actor: str = "grace",
    ) -> int:
        """Append one entry to the audit chain in this transaction; its sequence number."""
        if self.chain is None:
            raise RuntimeError("what is written beside the others cannot be recorded: the chain has one end")
        sealed = self.chain.next(kind=kind, at=self.now, incident_id=incident_id, run_id=run_id, actor=actor, body=body)
        _RECORD.on(self.connection, sealed.row())
        return sealed.entry.seq

    def execute(self, statement: sa.Executable, parameters: Any = None) -> sa.CursorResult[Any]:
        """Run one statement."""
        return self.connection.execute(statement, parameters)


_RECORD = Prepared(lambda: sa.insert(schema.audit))


class Ledger(ABC):
    """The durable store. Open with `await Ledger.open(...)`, close with `await ledger.close()`."""

    clock: Clock
    """What wake times, leases and expiries are compared with; the database's own time on PostgreSQL."""
    shared: bool
    """May other processes work on it at the same time?"""
    writable: bool
    """Did the last commit succeed?"""
    head: tuple[int, bytes]
    """Sequence number and hash of the last durable audit entry that this process knows of."""

    @staticmethod
    async def open(place: Path | str, clock: Clock) -> Ledger:
        """The ledger in a file (SQLite) or at a URL (PostgreSQL), created and migrated as needed.

        Raises LedgerRefused when another process has the file open, when its schema is newer than this program, when
        it is no ledger, or when the database server cannot be reached.
        """
        if isinstance(place, Path):
            from remediator.ledger.sqlite import SqliteLedger

            return await SqliteLedger.at(place, clock)
        opened: Ledger = await postgres().PostgresLedger.at(place, clock)
        return opened

    @abstractmethod
    async def write(self, function: Callable[[Tx], T], *, beside: bool = False) -> T:
        """What `function` returned, once everything it wrote is durable.

        Writes happen one after another, also across replicas: what a function reads stays true until its commit.
        `beside` is for one that only inserts and records nothing (accepting alerts): it need not wait its turn.

        Raises LedgerUnavailable when it could not be stored, and whatever `function` raises (its own writes are then
        undone, those of others are not).
        """

    @abstractmethod
    async def read(self, function: Callable[[Connection], T]) -> T:
        """What `function` read, in one consistent snapshot. Raises LedgerUnavailable when it cannot be read."""

    async def glance(self, function: Callable[[Connection], T]) -> T:
        """As `read`, for a few rows by their keys: an embedded engine answers at once, instead of in another thread.

        `function` asks by prepared statements only.
        """
        return await self.read(function)

    @abstractmethod
    async def close(self) -> None:
        """Finish what waits, then let go. Nothing happens at a second call."""


@dataclass(slots=True)
class Job:
    """A function that waits to be written, and who waits for it."""

    function: Callable[[Tx], Any]
    future: asyncio.Future[Any]


@dataclass(slots=True)
class Written:
    """What came of a batch, to be told once it is durable."""

    answers: list[tuple[Job, Any, BaseException | None]] = field(default_factory=list)
    hooks: list[Callable[[], None]] = field(default_factory=list)


def perform(
    connection: Connection,
    batch: list[Job],
    now: Callable[[], float],
    chain: Chain | None,
    breaks: Callable[[Exception], bool],
    savepoint: Callable[[Connection], AbstractContextManager[object]] = Connection.begin_nested,
) -> Written:
    """Run every function of a batch in the open transaction, each undone alone when it fails.

    Raises what `breaks` says has broken the transaction itself.
    """
    written = Written()
    alone = len(batch) == 1
    for job in batch:
        mark = chain.mark() if chain else None
        tx = Tx(connection, now(), chain)
        try:
            with nullcontext() if alone else savepoint(connection):
                result = job.function(tx)
        except Exception as error:  # The job's own failure: undone to its savepoint and handed to its caller.
            if breaks(error):
                raise
            if alone and (transaction := connection.get_transaction()):
                transaction.rollback()
            if chain:
                chain.rollback(mark)
            written.answers.append((job, None, error))
        else:
            written.hooks.extend(tx.on_commit)
            written.answers.append((job, result, None))
    return written


def settle(future: asyncio.Future[Any], result: Any = None, error: BaseException | None = None) -> None:
    """Answer who waits, if anybody still does."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def head_of(connection: Connection) -> Chain:
    """The chain as it ends in the database."""
    row = connection.execute(_HEAD).first()
    return Chain(bytes.fromhex(row[1]), row[0]) if row else Chain()


_HEAD = sa.select(schema.audit.c.seq, schema.audit.c.hash).order_by(schema.audit.c.seq.desc()).limit(1)


def cause(error: BaseException) -> str:
    """One line that says what the database said; never a statement, a value or a URL."""
    original = getattr(error, "orig", None)
    text = str(original or error).strip()
    return (
        text.splitlines()[0].removeprefix("<class 'asyncpg.exceptions.").replace("'>", "")[:200]
        if text
        else (type(error).__name__)
    )


def postgres() -> Any:
    """The module of the engine for PostgreSQL. Raises LedgerRefused where the packages it needs are missing."""
    try:
        return import_module("remediator.ledger.postgres")
    except ImportError as error:
        raise LedgerRefused("a ledger in PostgreSQL needs asyncpg and greenlet: install grace[postgres]") from error


def place_of(url: str) -> str:
    """Where a database is, for people: without user and password."""
    found = sa.engine.make_url(url)
    host = found.host or found.query.get("host") or "localhost"
    return f"PostgreSQL database {found.database or 'postgres'} at {host}" + (f":{found.port}" if found.port else "")
