"""The embedded engine: one file, one process, one writer thread.

The writer thread owns the only writing connection (WAL, synchronous=FULL). Functions that wait are taken together,
each in its own SAVEPOINT, and made durable by one COMMIT; only then do their callers get an answer. No answer means
not durable.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection, Engine

from remediator.audit.chain import Chain
from remediator.clock import Clock
from remediator.ledger.engine import (
    BATCH,
    WAITING,
    Job,
    Ledger,
    LedgerRefused,
    LedgerUnavailable,
    Tx,
    cause,
    head_of,
    perform,
    settle,
)
from remediator.ledger.migrations import prepare

log = structlog.get_logger(__name__)
T = TypeVar("T")

BUSY = 5.0
"""Seconds to wait for a lock that somebody outside (a backup) holds on the file."""
GLANCE = 0.02
"""Seconds for which a glance may wait for one: nothing else happens meanwhile."""


class SqliteLedger(Ledger):
    """The ledger in one file, which this process holds alone."""

    shared = False

    def __init__(self, engine: Engine, reader: Engine, clock: Clock, lock: int) -> None:
        self._engine = engine
        self._reader = reader
        self.clock = clock
        self._lock = lock
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.Queue[Job | None] = queue.Queue(WAITING)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="ledger-read")
        self._glances: Connection | None = None
        """The event loop's own connection."""
        self._read_by: dict[int, Connection] = {}
        """Connections by thread: fetching one from the pool for every read takes longer than most reads."""
        self._closing = False
        self.writable = True
        self._writer = threading.Thread(target=self._write_forever, name="ledger-write", daemon=True)

    @classmethod
    async def at(cls, path: Path, clock: Clock) -> SqliteLedger:
        """As `Ledger.open`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # On the database file itself: flock and SQLite's own record locks do not know of each other on Linux.
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise LedgerRefused(f"{path} is in use by another process: stop the other remediator first") from error
        try:
            engine, reader = sqlite_engine(path, writer=True), sqlite_engine(path, writer=False)
            chain = await asyncio.to_thread(_prepared, engine, str(path))
        except (sa.exc.SQLAlchemyError, OSError, LedgerRefused) as error:
            os.close(lock)
            if isinstance(error, LedgerRefused):
                raise
            raise LedgerRefused(f"{path} cannot be opened as a ledger: {cause(error)}") from error
        ledger = cls(engine, reader, clock, lock)
        ledger.head = (chain.seq, chain.hash)
        ledger._writer.start()
        return ledger

    async def write(self, function: Callable[[Tx], T], *, beside: bool = False) -> T:
        if self._closing:
            raise LedgerUnavailable("the ledger is closing")
        future: asyncio.Future[T] = self._loop.create_future()
        try:
            self._jobs.put_nowait(Job(function, future))
        except queue.Full as error:
            raise LedgerUnavailable("too many writes are waiting") from error
        return await future

    async def read(self, function: Callable[[Connection], T]) -> T:
        def run() -> T:
            try:
                connection = self._reading()
                with connection.begin():
                    return function(connection)
            except sa.exc.OperationalError as error:
                broken = self._read_by.pop(threading.get_ident(), None)
                if broken is not None:
                    broken.invalidate()
                raise LedgerUnavailable(f"the ledger could not be read: {cause(error)}") from error

        return await self._loop.run_in_executor(self._readers, run)

    async def glance(self, function: Callable[[Connection], T]) -> T:
        try:
            if self._glances is None:
                self._glances = self._reader.connect()
                _raw(self._glances).execute(f"PRAGMA busy_timeout={GLANCE * 1000:.0f}")
            raw = _raw(self._glances)
            # What a glance asks is prepared, so that nothing of SQLAlchemy's begins a transaction by itself.
            raw.execute("BEGIN")
            try:
                return function(self._glances)
            finally:
                raw.execute("ROLLBACK")
        except (sa.exc.OperationalError, sqlite3.OperationalError):
            # Locked by somebody outside, or broken: a reader has the time to wait for it.
            broken, self._glances = self._glances, None
            if broken is not None:
                broken.invalidate()
            return await self.read(function)

    def _reading(self) -> Connection:
        """This thread's own connection."""
        thread = threading.get_ident()
        known = self._read_by.get(thread)
        if known is None or known.closed or known.invalidated:
            known = self._read_by[thread] = self._reader.connect()
        return known

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        await asyncio.to_thread(self._jobs.put, None)
        await asyncio.to_thread(self._writer.join)
        self._readers.shutdown(wait=True)
        for connection in (*self._read_by.values(), *([self._glances] if self._glances else [])):
            connection.close()
        self._engine.dispose()
        self._reader.dispose()
        os.close(self._lock)

    # Everything below runs on the writer thread.

    def _write_forever(self) -> None:
        connection: Connection | None = None
        chain: Chain | None = None
        last = False
        while not last:
            batch, last = self._waiting()
            if not batch:
                break
            try:
                if connection is None or chain is None:
                    connection = self._engine.connect()
                    with connection.begin():
                        chain = head_of(connection)
                self._commit(connection, chain, batch)
            except Exception as error:
                # Whatever breaks a commit breaks it for all who waited for it; the next starts anew.
                self._failed(batch, error)
                if connection is not None:
                    with suppress(Exception):  # The connection is being thrown away.
                        connection.close()
                connection = chain = None
        if connection is not None:
            connection.close()

    def _waiting(self) -> tuple[list[Job], bool]:
        """What waits now, at least one; and whether it is the last."""
        job = self._jobs.get()
        batch: list[Job] = []
        while job is not None:
            batch.append(job)
            if len(batch) == BATCH:
                return batch, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _commit(self, connection: Connection, chain: Chain, batch: list[Job]) -> None:
        with connection.begin():
            written = perform(connection, batch, self.clock.now, chain, _breaks, _savepoint)
        chain.commit()
        self.writable = True
        self.head = (chain.seq, chain.hash)

        def tell() -> None:
            for hook in written.hooks:
                self._loop.call_soon(hook)
            for job, result, failure in written.answers:
                settle(job.future, result, failure)

        self._on_loop(tell)

    def _failed(self, batch: list[Job], error: Exception) -> None:
        self.writable = False
        log.error("ledger_write_failed", error=cause(error), lost=len(batch))

        def tell() -> None:
            for job in batch:
                settle(job.future, error=LedgerUnavailable(f"the ledger could not be written: {cause(error)}"))

        self._on_loop(tell)

    def _on_loop(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # The loop is gone: nobody waits any more.
            self._loop.call_soon_threadsafe(function)


def sqlite_engine(path: Path, *, writer: bool) -> Engine:
    """An engine on a ledger file, whose transactions begin when they are begun."""
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False, "timeout": BUSY})

    @sa.event.listens_for(engine, "connect")
    def connect(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # Transactions are begun below, not by the driver's guess.
        cursor = raw.cursor()
        if writer:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
        else:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


def _prepared(engine: Engine, place: str) -> Chain:
    with engine.begin() as connection:
        prepare(connection, place)
        return head_of(connection)


def _raw(connection: Connection) -> sqlite3.Connection:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


@contextmanager
def _savepoint(connection: Connection) -> Iterator[None]:
    """As `begin_nested`, at a fiftieth of its price: there is one for every write of every batch."""
    raw = _raw(connection)
    try:
        raw.execute("SAVEPOINT job")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):  # What broke the whole transaction took its savepoints too.
                raw.execute("ROLLBACK TO job")
                raw.execute("RELEASE job")
            raise
        raw.execute("RELEASE job")
    except sqlite3.Error as error:
        raise sa.exc.OperationalError("SAVEPOINT", None, error) from error


def _breaks(error: Exception) -> bool:
    """Disk full, locked, damaged: nothing of the batch will be durable."""
    if (
        not isinstance(error, sa.exc.OperationalError | sa.exc.InternalError)
        and type(error) is not sa.exc.DatabaseError
    ):
        return False
    # SQLITE_ERROR is a statement that makes no sense: its writer's own fault, the file is well.
    return getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR
