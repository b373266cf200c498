"""Database servers as the `sql` collector reads them, one class for each kind. Imported only where one is configured.

Every transaction is read-only, and a query that takes too long is given up by the database itself. What does not even
do that (its process is stopped, the network is gone) is hung up on. One connection is kept; more are opened only while
it is busy. A database that cannot be reached is tried again after half a second, then after twice as long each time,
up to 15 seconds.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from exporter.collectors.base import CollectError, installed

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds between two attempts to connect."""

HANG_UP = 1.0
"""Seconds after which, beyond the time that a query has, a silent server is hung up on."""


class Dialect(Protocol):
    """What differs between databases."""

    module: str
    """The Python driver's module."""
    extra: str
    """What brings it: `grace[EXTRA]`."""

    def engine(self, url: URL, timeout: float, most: int) -> Engine:
        """Connects when it is asked to; `most` connections at a time."""

    def begin(self, connection: Connection, timeout: float) -> None:
        """Make the transaction read-only, and bound what follows in it to `timeout` seconds."""

    def number(self, connection: Any) -> int | None:
        """The file number of the driver's connection, where it would wait for ever; else None."""


class Postgresql:
    """PostgreSQL by psycopg. Bounds hold for the transaction, as poolers in between ask for; nothing is prepared."""

    module, extra = "psycopg", "postgres"

    def engine(self, url: URL, timeout: float, most: int) -> Engine:
        arguments = {"connect_timeout": max(2, round(timeout)), "prepare_threshold": None}
        return _pooled(url.set(drivername="postgresql+psycopg"), arguments, timeout, most)

    def begin(self, connection: Connection, timeout: float) -> None:
        bound = "SELECT set_config('transaction_read_only', 'on', true), set_config('statement_timeout', :ms, true)"
        asked = sqlalchemy.text(bound).execution_options(stream_results=False)
        connection.execute(asked, {"ms": str(round(timeout * 1000))})

    def number(self, connection: Any) -> int | None:
        return int(connection.fileno())


class Mysql:
    """MySQL and MariaDB by PyMySQL, which hangs up by itself."""

    module, extra = "pymysql", "mysql"

    def engine(self, url: URL, timeout: float, most: int) -> Engine:
        patience = max(1, round(timeout + HANG_UP))
        arguments = {"connect_timeout": patience, "read_timeout": patience, "write_timeout": patience}
        engine = _pooled(url.set(drivername=f"{url.get_backend_name()}+pymysql"), arguments, timeout, most)
        sqlalchemy.event.listen(engine, "connect", _only_read)
        return engine

    def begin(self, connection: Connection, timeout: float) -> None:
        maria = getattr(connection.dialect, "is_mariadb", False)
        bound = f"max_statement_time = {timeout:.3f}" if maria else f"max_execution_time = {round(timeout * 1000)}"
        connection.execute(sqlalchemy.text(f"SET SESSION {bound}"))

    def number(self, connection: Any) -> int | None:
        return None


def _only_read(connection: Any, _: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION READ ONLY")


def _pooled(url: URL, arguments: Mapping[str, Any], timeout: float, most: int) -> Engine:
    return sqlalchemy.create_engine(
        url,
        connect_args=dict(arguments),
        pool_size=1,
        max_overflow=most - 1,
        pool_timeout=timeout,
        hide_parameters=True,
        # Rows come as they are asked for: a query that gives millions of them fills nobody's memory.
        execution_options={"stream_results": True, "max_row_buffer": 1000},
    )


DIALECTS: Mapping[str, Dialect] = {
    "postgresql": Postgresql(),
    "mysql": Mysql(),
    "mariadb": Mysql(),
}


def database_url(written: str) -> URL:
    """The URL of a database of a known kind. Raises ValueError; its text holds no part of the URL but the kind."""
    try:
        url = make_url(written)
    except (ArgumentError, ValueError):
        # Their words quote what stands in the port's place: after an unescaped @, the end of a password.
        like = "write it like sqlite:///PATH or postgresql://HOST/DB, the password with %-escapes"
        raise ValueError(f"this is not a database URL; {like}") from None
    if "@" in _behind_credentials(written, url):
        # It would be read all the same: the end of a password as a host or a database, which the server's words tell.
        raise ValueError("this is not a database URL: it has an @ too many; in a password write @ as %40, : as %3A")
    if url.get_backend_name() not in DIALECTS:
        raise ValueError(f"{url.get_backend_name()} is not known; known are sqlite, {', '.join(DIALECTS)}")
    return url


def _behind_credentials(written: str, url: URL) -> str:
    """Where no `@` may stand as it is."""
    behind = written.partition("://")[2]
    if url.password is not None:
        return behind.partition(":")[2].partition("@")[2]
    return behind.partition("?")[0].partition("/")[2]


def missing_driver(url: URL) -> str | None:
    """What to install before this database can be read; None where nothing is missing."""
    dialect = DIALECTS[url.get_backend_name()]
    if installed(dialect.module):
        return None
    return f"the driver for {url.get_backend_name()} is not installed: pip install 'grace[{dialect.extra}]'"


class KeptConnectionClosed(CollectError):
    """The other side had closed the connection meanwhile, as a restarted server does: a fresh one may serve."""


class Database:
    """One database, connected to when it is first asked. Blocking; several threads may ask."""

    def __init__(self, url: URL, password_file: Path | None = None, most: int = 1) -> None:
        self._url = url
        self._password_file = password_file
        self._most = most
        self._dialect = DIALECTS[url.get_backend_name()]
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self._pause = Pause()
        self._connecting = threading.local()

    def rows(self, sql: str, parameters: Mapping[str, Any], timeout: float, most: int) -> Sequence[Mapping[str, Any]]:
        """The query's rows, at most so many, within `timeout` seconds. Raises CollectError; it names no credentials."""
        try:
            try:
                return self._asked(sql, parameters, timeout, most)
            except KeptConnectionClosed:
                return self._asked(sql, parameters, timeout, most)
        except (SQLAlchemyError, ImportError, OSError) as error:
            raise CollectError(self._reason(error)) from error

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()

    def _asked(self, sql: str, parameters: Mapping[str, Any], timeout: float, most: int) -> list[dict[str, Any]]:
        with self._connected(timeout) as connection:
            kept, begun = connection.info.get("kept", False), time.monotonic()
            try:
                with connection.begin(), HangUp(self._number(connection), timeout + HANG_UP):
                    self._dialect.begin(connection, timeout)
                    rows = _read(connection, sql, parameters, most)
            except DBAPIError as error:
                # One that was closed shows it at once; one that hung would only hang again.
                if kept and error.connection_invalidated and time.monotonic() - begun < timeout / 2:
                    raise KeptConnectionClosed(self._reason(error)) from error
                raise
            connection.info["kept"] = True
        return rows

    def _number(self, connection: Connection) -> int | None:
        return self._dialect.number(connection.connection.dbapi_connection)

    @contextlib.contextmanager
    def _connected(self, timeout: float) -> Iterator[Connection]:
        self._pause.check()
        try:
            connection = self._open(timeout)
        except (SQLAlchemyError, ImportError, OSError) as error:
            self._pause.failed(self._reason(error))
            raise
        self._pause.succeeded()
        with connection:
            yield connection

    def _open(self, timeout: float) -> Connection:
        with self._lock:
            if self._engine is None:
                self._engine = self._made(timeout)
        try:
            return self._engine.connect()
        finally:
            guard = self._connecting.__dict__.pop("guard", None)
            if guard is not None:
                guard.stop()

    def _made(self, timeout: float) -> Engine:
        engine = self._dialect.engine(self._url, timeout, self._most)

        def connected(raw: Any, _: object) -> None:
            # SQLAlchemy asks a new server a few things of its own before it lends the connection.
            self._connecting.guard = HangUp(self._dialect.number(raw), timeout + HANG_UP)
            self._connecting.guard.start()

        sqlalchemy.event.listen(engine, "connect", connected, insert=True)
        if self._password_file is not None:
            sqlalchemy.event.listen(engine, "do_connect", self._show_password)
        return engine

    def _show_password(self, _dialect: object, _record: object, _args: object, given: dict[str, Any]) -> None:
        """Read anew for every connection: a rotated password counts at once."""
        assert self._password_file is not None
        given["password"] = self._password_file.read_text().strip()

    def _reason(self, error: BaseException) -> str:
        """What the database said, in one line and without the password."""
        cause = getattr(error, "orig", None) or error
        words = [each for each in getattr(cause, "args", ()) if isinstance(each, str)] or [str(cause)]
        if isinstance(cause, OSError) and cause.strerror:
            words = [f"{cause.filename}: {cause.strerror}" if cause.filename else cause.strerror]
        said = re.split(r"[\r\n]", words[-1].strip() or type(cause).__name__)[0][:200]
        return said.replace(self._url.password, "***") if self._url.password else said


def _read(connection: Connection, sql: str, parameters: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
    answer = connection.execute(sqlalchemy.text(sql), dict(parameters))
    if not answer.returns_rows:
        raise CollectError("the query gives no rows: write a SELECT")
    rows = [dict(row) for row in answer.mappings().fetchmany(most)]
    answer.close()
    connection.rollback()
    return rows


class HangUp:
    """Ends the conversation on a socket (a file number, or None: then nothing happens) after so many seconds.

    Whoever waits in it then gets an error.
    """

    def __init__(self, number: int | None, seconds: float) -> None:
        self._number = number
        self._seconds = seconds
        self._wire: socket.socket | None = None
        self._timer: threading.Timer | None = None

    def start(self) -> None:
        """Begin to count."""
        if self._number is not None:
            # A copy, so that nobody closes a number that meanwhile means another file.
            self._wire = socket.socket(fileno=os.dup(self._number))
            self._timer = threading.Timer(self._seconds, self._end)
            self._timer.daemon = True
            self._timer.start()

    def stop(self) -> None:
        """The conversation ended by itself."""
        if self._timer is not None and self._wire is not None:
            self._timer.cancel()
            self._timer.join()
            self._wire.close()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _end(self) -> None:
        assert self._wire is not None
        with contextlib.suppress(OSError):
            self._wire.shutdown(socket.SHUT_RDWR)


class Pause:
    """Until when a database that cannot be reached is left alone."""

    def __init__(self) -> None:
        self._reason = ""
        self._seconds = 0.0
        self._until = 0.0

    def check(self) -> None:
        """Raises CollectError while the pause lasts."""
        if time.monotonic() < self._until:
            raise CollectError(self._reason)

    def failed(self, reason: str) -> None:
        self._seconds = min(max(2 * self._seconds, SHORTEST_PAUSE), LONGEST_PAUSE)
        self._until = time.monotonic() + self._seconds
        self._reason = reason

    def succeeded(self) -> None:
        self._seconds = self._until = 0.0
