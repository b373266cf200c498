"""One value in one row, read and written in short transactions of their own, over one connection."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, TextClause, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from remediator.errors import GraceError, Permanent, Refused, Transient

Value = int | float | str

_FORBIDDEN = (
    "readonly",
    "permission denied",
    "insufficient",
    "authentication failed",
    "access denied",
    "not authorized",
)
_PASSING = ("locked", "busy", "timeout", "timed out", "canceling statement", "connection", "deadlock", "serialize")
# What SQL calls these kinds (the first letters of a SQLSTATE), for servers that tell their words in another language:
# rights and passwords; connections, conflicts, resources, locks, shutdowns.
_FORBIDDEN_CODES = ("42501", "28")
_PASSING_CODES = ("08", "40", "53", "55P03", "57")


class Database:
    """One conversation with a database. Blocking: call it in a thread.

    No statement takes longer than `patience` seconds, waiting for locks included.
    """

    def __init__(self, url: str, password_file: Path | None, patience: float) -> None:
        self._url = _normal(_parsed(url), password_file)
        self._patience = patience
        self._wire: socket.socket | None = None
        self._lock = threading.Lock()
        self._over = False
        self.begun = time.monotonic()
        """When the latest transaction could begin (monotonic seconds); connecting is part of the first one."""

    def read(self, statement: str) -> Value:
        """The one value in the one row. Raises Permanent where there is none or more than one."""
        with self._conversation() as connection:
            return self._value(connection, statement)

    def bring_about(self, read: str, write: str, value: Value, stands: Callable[[Value], bool]) -> Value:
        """What is read in the end: `value` is written where what is read at first does not stand for it already.

        Exactly one row changes, or none does and Permanent is raised. What is read in the end is what was committed.
        """
        with self._conversation() as connection:
            found = self._value(connection, read)
            if stands(found):
                return found
            with self._transaction(connection):
                changed = connection.execute(_statement(write), {"value": value}).rowcount
                if changed != 1:
                    raise Permanent(f"the statement would change {changed} rows instead of one: nothing was changed")
            return self._value(connection, read)

    def rehearse(self, statement: str) -> None:
        """Have the database plan it and carry nothing out. Raises Refused where it would not be allowed."""
        if self._url.get_backend_name() == "sqlite" and self._url.database:
            file = Path(self._url.database)
            if not os.access(file, os.W_OK) or not os.access(file.parent, os.W_OK):
                raise Refused(f"may not write {file} and its folder", reason="permission")
        with self._conversation() as connection, self._transaction(connection):
            connection.execute(_statement(f"EXPLAIN {statement}"), {"value": 0})

    def cut(self) -> None:
        """End the conversation, from another thread: no transaction begins any more, and an open one is rolled back.

        Where a server fell silent, who waits for it gets an error. SQLite's waiting, and a commit that has begun, end
        by themselves.
        """
        with self._lock:
            self._over = True
            if self._wire is not None:
                with suppress(OSError):
                    self._wire.shutdown(socket.SHUT_RDWR)

    def _value(self, connection: Connection, statement: str) -> Value:
        with self._transaction(connection):
            return _only(connection, statement)

    @contextmanager
    def _conversation(self) -> Iterator[Connection]:
        if self._url.get_backend_name() == "sqlite" and self._url.database:
            _must_exist(self._url.database)
        try:
            with _engine(self._url, self._bounds()).connect() as connection:
                if self._url.get_backend_name() != "postgresql":
                    yield connection
                else:
                    with self._cuttable(connection):
                        yield connection
        except DBAPIError as error:
            raise _translated(error) from error
        except (NoSuchModuleError, ImportError) as error:
            raise Permanent(
                f"the database's Python driver is not installed ({self._url.drivername});"
                " for PostgreSQL install grace[postgres]"
            ) from error
        except SQLAlchemyError as error:
            raise Permanent(f"the database cannot be used: {type(error).__name__}") from error

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[None]:
        """Committed when the block ends well and nobody cut it, else rolled back."""
        self._go_on()
        with connection.begin():
            for statement in self._own_bounds():
                connection.execute(_statement(statement))
            yield
            self._go_on()
        self.begun = time.monotonic()

    def _go_on(self) -> None:
        if self._over:
            raise Transient("the conversation with the database was ended")

    @contextmanager
    def _cuttable(self, connection: Connection) -> Iterator[None]:
        """While the block runs, `cut` reaches the server's socket (a copy of it, so that nobody closes it twice)."""
        link = connection.connection.dbapi_connection
        if link is None:
            yield
            return
        wire = socket.socket(fileno=os.dup(link.fileno()))
        with self._lock:
            self._wire = wire
        try:
            yield
        finally:
            with self._lock:
                self._wire = None
            wire.close()

    def _bounds(self) -> tuple[tuple[str, float], ...]:
        backend = self._url.get_backend_name()
        if backend == "sqlite":
            return (("timeout", self._patience),)
        if backend == "postgresql":
            return (("connect_timeout", max(2, round(self._patience))),)
        return ()

    def _own_bounds(self) -> tuple[str, ...]:
        """In the transaction, not in the connection's options: poolers such as PgBouncer refuse those."""
        if self._url.get_backend_name() != "postgresql":
            return ()
        millis = int(self._patience * 1000)
        return (f"SET LOCAL statement_timeout = {millis}", f"SET LOCAL lock_timeout = {millis}")


@lru_cache(maxsize=1024)
def _engine(url: URL, bounds: tuple[tuple[str, float], ...]) -> Engine:
    """What is known of a database (13 kB). It keeps no connection: each conversation makes one and ends it."""
    # What a conversation left open ends with its connection: nothing need be reset before.
    return create_engine(
        url, poolclass=NullPool, pool_reset_on_return=None, connect_args=dict(bounds), hide_parameters=True
    )


@lru_cache(maxsize=4096)
def _statement(words: str) -> TextClause:
    return text(words)


@lru_cache(maxsize=1024)
def _parsed(url: str) -> URL:
    return make_url(url)


def _must_exist(file: str) -> None:
    """sqlite would make an empty database where there is none."""
    try:
        os.stat(file)
    except PermissionError as error:
        raise Refused(f"may not open the database {file}", reason="permission") from error
    except OSError as error:
        raise Transient(f"there is no database {file}") from error


def _normal(url: URL, password_file: Path | None) -> URL:
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if password_file is None:
        return url
    try:
        return url.set(password=password_file.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise Permanent(f"the password file {password_file} cannot be read: {error.strerror}") from error


def _only(connection: Connection, statement: str) -> Value:
    rows = connection.execute(_statement(statement)).fetchmany(2)
    if len(rows) != 1 or len(rows[0]) != 1:
        raise Permanent("the reading statement must give one row with one column")
    return _plain(rows[0][0])


def _plain(value: object) -> Value:
    """A number where it is one, also one that was stored as text."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if not isinstance(value, str):
        raise Permanent(f"the setting holds {type(value).__name__}, neither a number nor a word")
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _translated(error: DBAPIError) -> GraceError:
    said = str(error.orig)
    low = said.lower()
    code = str(getattr(error.orig, "sqlstate", None) or "")
    if code.startswith(_FORBIDDEN_CODES) or any(word in low for word in _FORBIDDEN):
        return Refused(f"the database does not allow it: {said}", reason="permission")
    passing = code.startswith(_PASSING_CODES) or any(word in low for word in _PASSING)
    if error.connection_invalidated or passing:
        return Transient(f"the database is not available now: {said}")
    return Permanent(f"the database refused the statement: {said}")
