"""Runs functions in transactions: one writer that batches commits, readers beside it.

SQLite: one writer thread owns the only writing connection (WAL, synchronous=FULL). Functions that wait are taken
together, each in its own SAVEPOINT, and made durable by one COMMIT; only then do their callers get an answer. No
answer means not durable.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection, Engine

from remediator.audit.chain import Chain
from remediator.audit.entry import GENESIS
from remediator.audit.schema import TRIGGERS
from remediator.clock import Clock
from remediator.errors import GraceError
from remediator.ledger import schema

log = structlog.get_logger(__name__)
T = TypeVar("T")

BATCH = 256
"""Most functions that share one COMMIT."""
WAITING = 2048
"""Most functions that may wait for the writer; more are turned away at once."""


class LedgerUnavailable(GraceError):
    """Nothing was stored: disk full, locked, broken, closing, or too many waiting. The caller may try again later."""


class LedgerRefused(GraceError):
    """This ledger cannot be used: a newer schema, another process has it, not a database. Not worth another try."""


@dataclass(slots=True)
class Tx:
    """One transaction, as a statement sees it."""

    connection: Connection
    now: float
    chain: Chain
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
        sealed = self.chain.next(kind=kind, at=self.now, incident_id=incident_id, run_id=run_id, actor=actor, body=body)
        self.connection.execute(sa.insert(schema.audit), [sealed.row()])
        return sealed.entry.seq

    def execute(self, statement: sa.Executable, parameters: Any = None) -> sa.CursorResult[Any]:
        """Run one statement."""
        return self.connection.execute(statement, parameters)


@dataclass(slots=True)
class _Job:
    function: Callable[[Tx], Any]
    future: asyncio.Future[Any]


class Ledger:
    """The durable store. Open with `await Ledger.open(...)`, close with `await ledger.close()`."""

    def __init__(self, engine: Engine, reader: Engine, clock: Clock, lock: int) -> None:
        self._engine = engine
        self._reader = reader
        self._clock = clock
        self._lock = lock
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.Queue[_Job | None] = queue.Queue(WAITING)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="ledger-read")
        self._closing = False
        self.writable = True
        """Did the last commit succeed?"""
        self.head: tuple[int, bytes] = (0, GENESIS)
        """Sequence number and hash of the last durable audit entry."""
        self._writer = threading.Thread(target=self._write_forever, name="ledger-write", daemon=True)

    @classmethod
    async def open(cls, path: Path, clock: Clock) -> Ledger:
        """The ledger at `path`, created and migrated as needed.

        Raises LedgerRefused when another process has it open, when its schema is newer than this program, or when
        the file is not a ledger.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        # On the database file itself: flock and SQLite's own record locks do not know of each other on Linux.
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise LedgerRefused(f"{path} is in use by another process: stop the other remediator first") from error
        try:
            engine, reader = _sqlite(path, writer=True), _sqlite(path, writer=False)
            await asyncio.to_thread(_prepare, engine, path)
        except (sa.exc.SQLAlchemyError, OSError, LedgerRefused) as error:
            os.close(lock)
            if isinstance(error, LedgerRefused):
                raise
            raise LedgerRefused(f"{path} cannot be opened as a ledger: {_cause(error)}") from error
        ledger = cls(engine, reader, clock, lock)
        chain = await ledger.read(_chain)
        ledger.head = (chain.seq, chain.hash)
        ledger._writer.start()
        return ledger

    async def write(self, function: Callable[[Tx], T]) -> T:
        """What `function` returned, once everything it wrote is durable.

        Raises LedgerUnavailable when it could not be stored, and whatever `function` raises (its own writes are then
        undone, those of others are not).
        """
        if self._closing:
            raise LedgerUnavailable("the ledger is closing")
        future: asyncio.Future[T] = self._loop.create_future()
        try:
            self._jobs.put_nowait(_Job(function, future))
        except queue.Full as error:
            raise LedgerUnavailable("too many writes are waiting") from error
        return await future

    async def read(self, function: Callable[[Connection], T]) -> T:
        """What `function` read, in one consistent snapshot."""

        def run() -> T:
            with self._reader.connect() as connection:
                return function(connection)

        return await self._loop.run_in_executor(self._readers, run)

    async def close(self) -> None:
        """Finish what waits, then give the file back."""
        if self._closing:
            return
        self._closing = True
        await asyncio.to_thread(self._jobs.put, None)
        await asyncio.to_thread(self._writer.join)
        self._readers.shutdown(wait=True)
        self._engine.dispose()
        self._reader.dispose()
        os.close(self._lock)

    # Everything below runs on the writer thread.

    def _write_forever(self) -> None:
        connection: Connection | None = None
        chain: Chain | None = None
        while True:
            job = self._jobs.get()
            if job is None:
                break
            batch = [job]
            last = False
            while len(batch) < BATCH:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                    break
                batch.append(more)
            try:
                if connection is None or chain is None:
                    connection = self._engine.connect()
                    chain = _load_chain(connection)
                self._commit(connection, chain, batch)
            except (
                Exception
            ) as error:  # Whatever breaks a commit breaks it for all who waited for it; the next starts anew.
                self.writable = False
                log.error("ledger_write_failed", error=_cause(error), lost=len(batch))
                refusal = LedgerUnavailable(f"the ledger could not be written: {_cause(error)}")
                for each in batch:
                    self._answer(each.future, error=refusal)
                if connection is not None:
                    with suppress(Exception):  # The connection is being thrown away.
                        connection.close()
                connection = chain = None
            if last:
                break
        if connection is not None:
            connection.close()

    def _commit(self, connection: Connection, chain: Chain, batch: list[_Job]) -> None:
        answers: list[tuple[_Job, Any, BaseException | None]] = []
        hooks: list[Callable[[], None]] = []
        with connection.begin():
            for job in batch:
                mark = chain.mark()
                tx = Tx(connection, self._clock.now(), chain)
                try:
                    with connection.begin_nested():
                        result = job.function(tx)
                except sa.exc.OperationalError:
                    raise
                except Exception as error:  # The job's own failure: undone to its savepoint and handed to its caller.
                    chain.rollback(mark)
                    answers.append((job, None, error))
                else:
                    hooks.extend(tx.on_commit)
                    answers.append((job, result, None))
        chain.commit()
        self.writable = True
        self.head = (chain.seq, chain.hash)
        for hook in hooks:
            self._loop.call_soon_threadsafe(hook)
        for job, result, failure in answers:
            self._answer(job.future, result, failure)

    def _answer(self, future: asyncio.Future[Any], result: Any = None, error: BaseException | None = None) -> None:
        def settle() -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        with suppress(RuntimeError):  # The loop is gone: nobody waits any more.
            self._loop.call_soon_threadsafe(settle)


def _sqlite(path: Path, *, writer: bool) -> Engine:
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False, "timeout": 5.0})

    @sa.event.listens_for(engine, "connect")
    def connect(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # Transactions are begun below, not by the driver's guess.
        cursor = raw.cursor()
        if writer:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
        else:
            cursor.execute("PRAGMA query_only=ON")
        cursor.execute("PRAGMA busy_timeout=5000")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


def _prepare(engine: Engine, path: Path) -> None:
    with engine.begin() as connection:
        if sa.inspect(connection).has_table("meta"):
            row = connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.name == "version")).first()
            found = int(row[0]) if row else 0
            if found > schema.VERSION:
                raise LedgerRefused(
                    f"{path} was written by a newer Grace (schema {found}; this one knows {schema.VERSION}): upgrade"
                )
            return
        schema.metadata.create_all(connection)
        for statement in TRIGGERS[connection.dialect.name]:
            connection.exec_driver_sql(statement)
        connection.execute(sa.insert(schema.meta), [{"name": "version", "value": str(schema.VERSION)}])


def _load_chain(connection: Connection) -> Chain:
    with connection.begin():
        return _chain(connection)


def _chain(connection: Connection) -> Chain:
    row = connection.execute(
        sa.select(schema.audit.c.seq, schema.audit.c.hash).order_by(schema.audit.c.seq.desc()).limit(1)
    ).first()
    return Chain(bytes.fromhex(row[1]), row[0]) if row else Chain()


def _cause(error: BaseException) -> str:
    original = getattr(error, "orig", None)
    return str(original or error).splitlines()[0][:200]
