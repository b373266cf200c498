"""The engine for several replicas: PostgreSQL, through asyncpg.

Writes are taken together like those of the embedded engine, each in its own SAVEPOINT, one COMMIT for all. An advisory
transaction lock lets one writing transaction of all replicas happen at a time, so that what a statement reads (budgets,
votes, the audit chain's end) stays true until its commit, exactly as on SQLite. Accepting alerts only inserts, and goes
beside it on connections of its own.

A replica that is stopped in the middle of a transaction loses its session, and with it the lock, within
`STALLED` seconds. Away, the database is asked again every `ASK_AWAY` seconds; meanwhile writes and reads are refused
at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

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
    Written,
    cause,
    perform,
    place_of,
    settle,
)
from remediator.ledger.migrations import prepare

log = structlog.get_logger(__name__)
T = TypeVar("T")

LOCK = 0x67726163
"""Of the one writing transaction at a time; `LOCK + 1` of the one replica that migrates."""
BESIDE = 4
"""Connections that accept alerts."""
READERS = 4
CONNECT = 2.0
"""Seconds within which the server must let us in."""
ANSWER = 10.0
"""Seconds within which it must answer one statement."""
STALLED = 3.0
"""Seconds after which a session that waits in the middle of a transaction is ended, and its lock is free."""
ASK_AWAKE, ASK_AWAY = 1.0, 0.2
"""Seconds between looks at the server's clock and the chain's end, while it answers and while it does not."""
OLDEST = 120000
"""Server version from which on this works, as PostgreSQL counts: 12."""

_LOCK = sa.text(f"SELECT pg_advisory_xact_lock({LOCK})")
_LOCK_MIGRATION = sa.text(f"SELECT pg_advisory_xact_lock({LOCK + 1})")
_STATE = sa.text(
    "SELECT CAST(extract(epoch FROM clock_timestamp()) AS float8), seq, hash FROM (VALUES (1)) AS one "
    "LEFT JOIN LATERAL (SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1) AS last ON true"
)


class DatabaseClock:
    """The database's time, told by this machine's steady clock since it was last heard."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = time.time() - time.monotonic()

    def now(self) -> float:
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def hear(self, told: float) -> None:
        """The database has just said what time it is."""
        self._ahead = told - time.monotonic()


class PostgresLedger(Ledger):
    """The ledger in a PostgreSQL database, which other processes may use too."""

    shared = True
    clock: DatabaseClock

    def __init__(self, engine: AsyncEngine, clock: DatabaseClock, chain: Chain) -> None:
        self._engine = engine
        # A read is one snapshot, whatever is committed meanwhile.
        self._snapshots = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self.clock = clock
        self.head = (chain.seq, chain.hash)
        self.writable = True
        self._away = ""
        self._closing = False
        self._orderly: asyncio.Queue[Job | None] = asyncio.Queue(WAITING)
        self._beside: asyncio.Queue[Job | None] = asyncio.Queue(WAITING)
        self._reading = asyncio.Semaphore(READERS)
        self._lost = asyncio.Event()
        self._writers = [
            asyncio.create_task(self._write_forever(self._orderly, True), name="ledger-write"),
            *(
                asyncio.create_task(self._write_forever(self._beside, False), name=f"ledger-accept-{number}")
                for number in range(BESIDE)
            ),
        ]
        self._watcher = asyncio.create_task(self._watch_forever(), name="ledger-watch")

    @classmethod
    async def at(cls, url: str, clock: Clock) -> PostgresLedger:
        """As `Ledger.open`."""
        engine = postgres_engine(url)
        told = DatabaseClock(clock)
        place = place_of(url)
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_prepared, place)
                chain = await connection.run_sync(lambda each: _state(each, told))
        except LedgerRefused:
            await engine.dispose()
            raise
        except (sa.exc.SQLAlchemyError, OSError, TimeoutError) as error:
            await engine.dispose()
            raise LedgerRefused(f"{place} cannot be used as a ledger: {cause(error)}") from error
        return cls(engine, told, chain)

    async def write(self, function: Callable[[Tx], T], *, beside: bool = False) -> T:
        if self._closing:
            raise LedgerUnavailable("the ledger is closing")
        if self._away:
            raise LedgerUnavailable(f"the ledger is away: {self._away}")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        lane = self._beside if beside else self._orderly
        try:
            lane.put_nowait(Job(function, future))
        except asyncio.QueueFull as error:
            raise LedgerUnavailable("too many writes are waiting") from error
        return await future

    async def read(self, function: Callable[[Connection], T]) -> T:
        if self._away:
            raise LedgerUnavailable(f"the ledger is away: {self._away}")
        try:
            async with self._reading, self._snapshots.connect() as connection:
                return await connection.run_sync(function)
        except (sa.exc.DBAPIError, OSError, TimeoutError) as error:
            if isinstance(error, sa.exc.DBAPIError) and _own(error):
                raise
            self._failed(error)
            raise LedgerUnavailable(f"the ledger could not be read: {cause(error)}") from error

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        await self._orderly.put(None)
        for _ in range(BESIDE):
            await self._beside.put(None)
        await asyncio.gather(*self._writers)
        self._watcher.cancel()
        await asyncio.gather(self._watcher, return_exceptions=True)
        await self._engine.dispose()

    async def _write_forever(self, lane: asyncio.Queue[Job | None], orderly: bool) -> None:
        while (job := await lane.get()) is not None:
            batch, last = [job], False
            while len(batch) < (BATCH if orderly else 1) and not lane.empty() and not last:
                more = lane.get_nowait()
                if more is None:
                    last = True
                else:
                    batch.append(more)
            await self._commit(batch, orderly)
            if last:
                return

    async def _commit(self, batch: list[Job], orderly: bool) -> None:
        refusal = LedgerUnavailable(f"the ledger is away: {self._away}")
        if not self._away:
            try:
                written = await self._written(batch, orderly)
            except Exception as error:
                # Whatever breaks a commit breaks it for all who waited for it; the next starts anew.
                refusal = LedgerUnavailable(f"the ledger could not be written: {cause(error)}")
                self._failed(error)
                log.error("ledger_write_failed", error=cause(error), lost=len(batch))
            else:
                loop = asyncio.get_running_loop()
                for hook in written.hooks:
                    loop.call_soon(hook)
                for job, result, failure in written.answers:
                    settle(job.future, result, failure)
                return
        for job in batch:
            settle(job.future, error=refusal)

    async def _written(self, batch: list[Job], orderly: bool) -> Written:
        async with self._engine.begin() as connection:
            if not orderly:
                return await connection.run_sync(lambda each: perform(each, batch, self.clock.now, None, _breaks))
            await connection.execute(_LOCK)
            chain = await connection.run_sync(lambda each: _state(each, self.clock))
            written = await connection.run_sync(lambda each: perform(each, batch, self.clock.now, chain, _breaks))
        chain.commit()
        self.writable = True
        self.head = max(self.head, (chain.seq, chain.hash))
        return written

    # The database's absence: noticed by whoever meets it first, ended by the watcher.

    def _failed(self, error: BaseException) -> None:
        self.writable = False
        if _disconnected(error) and not self._away:
            self._away = cause(error)
            log.error("ledger_away", error=self._away)
            self._lost.set()

    async def _watch_forever(self) -> None:
        """Look at the server's clock and at the chain's end, which other replicas move too."""
        while True:
            self._lost.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK_AWAY if self._away else ASK_AWAKE):
                    await self._lost.wait()
            if self._lost.is_set():
                continue
            try:
                async with asyncio.timeout(CONNECT), self._engine.connect() as connection:
                    chain = await connection.run_sync(lambda each: _state(each, self.clock))
            except (sa.exc.DBAPIError, OSError, TimeoutError) as error:
                self._failed(error)
                continue
            self.head = max(self.head, (chain.seq, chain.hash))
            if self._away:
                log.info("ledger_back")
            self._away, self.writable = "", True


def postgres_engine(url: str, *, patient: bool = False) -> AsyncEngine:
    """An engine whose sessions are durable, and never hold a lock for longer than their process lives.

    `patient` is for a copy of everything, which may take its time.
    """
    found = sa.engine.make_url(url)
    answer, stalled = (3600.0, 3600.0) if patient else (ANSWER, STALLED)
    try:
        return create_async_engine(
            _for_asyncpg(found),
            pool_size=1 + BESIDE + READERS + 1,
            max_overflow=0,
            pool_timeout=ANSWER,
            hide_parameters=True,  # labels and bodies of strangers: never in an error
            connect_args={
                "timeout": CONNECT,
                "command_timeout": answer,
                "server_settings": {
                    "application_name": "grace",
                    "synchronous_commit": "on",  # an answer means durable, whatever the server's default is
                    "default_transaction_isolation": "read committed",
                    "idle_in_transaction_session_timeout": f"{stalled * 1000:.0f}",
                    "statement_timeout": f"{answer * 1000:.0f}",
                    "timezone": "UTC",
                },
            },
        )
    except ModuleNotFoundError as error:
        raise LedgerRefused(f"a ledger in PostgreSQL needs {error.name}: install grace[postgres]") from error


def _for_asyncpg(url: URL) -> URL:
    """The same database under the names that asyncpg knows."""
    query: Mapping[str, Any] = {("ssl" if name == "sslmode" else name): value for name, value in url.query.items()}
    return url.set(drivername="postgresql+asyncpg", query=query)


def _prepared(connection: Connection, place: str) -> None:
    info: Any = connection.dialect.server_version_info
    if info and info[0] * 10000 < OLDEST:
        raise LedgerRefused(f"{place} is version {info[0]}; {OLDEST // 10000} or newer is needed")
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise LedgerRefused(f"{place} stores text as {encoding}; create it with ENCODING 'UTF8'")
    connection.execute(_LOCK_MIGRATION)
    prepare(connection, place)


def _state(connection: Connection, clock: DatabaseClock) -> Chain:
    now, seq, head = connection.execute(_STATE).one()
    clock.hear(now)
    return Chain(bytes.fromhex(head), seq) if seq else Chain()


def _own(error: sa.exc.DBAPIError) -> bool:
    """Is it this statement's own fault (a constraint, a value), with the server and its session well?"""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    # Data that does not fit, constraints, wrong SQL, and what our own triggers raise.
    return state[:2] in ("22", "23", "42", "P0") or (not state and isinstance(error.orig, ValueError))


def _breaks(error: Exception) -> bool:
    return isinstance(error, sa.exc.DBAPIError) and not _own(error)


def _disconnected(error: BaseException) -> bool:
    if isinstance(error, sa.exc.DBAPIError):
        state = str(getattr(error.orig, "sqlstate", None) or "")
        # 08: connection lost; 57P: the server shuts down, starts up or has ended us; 28, 3D: it lets nobody in.
        return error.connection_invalidated or state[:2] in ("08", "28", "3D") or state[:3] == "57P"
    return isinstance(error, OSError | TimeoutError)
