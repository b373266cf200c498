"""Statements that are run for every alert and every step: compiled once, and nothing but run after that.

SQLAlchemy makes a context, a result and its metadata anew for each execution, which costs several times what SQLite
takes to answer. On SQLite a prepared statement goes to the driver itself, with SQLAlchemy's own SQL, types and errors;
on PostgreSQL, where the server's answer costs more than either, it is executed as any other.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

_Processor = Callable[[Any], Any]
_NOTHING: Mapping[str, Any] = {}


class Rows:
    """What a statement answered: all of it, read already."""

    __slots__ = ("_read", "_rows", "rowcount")

    def __init__(self, rows: Sequence[Any], rowcount: int, read: Callable[[Any], Any]) -> None:
        self._rows = rows
        self._read = read
        self.rowcount = rowcount
        """Rows that the statement changed."""

    def __iter__(self) -> Iterator[Any]:
        return map(self._read, self._rows)

    def tuples(self) -> Sequence[Any]:
        """The rows without names, and as the database holds them: for many rows of text and numbers."""
        return self._rows

    def first(self) -> Any:
        """The first row; None where there is none."""
        return self._read(self._rows[0]) if self._rows else None

    def one(self) -> Any:
        """The only row. Raises sqlalchemy's NoResultFound or MultipleResultsFound where it is not the only one."""
        if len(self._rows) == 1:
            return self._read(self._rows[0])
        if self._rows:
            raise sa.exc.MultipleResultsFound("more than one row was found when exactly one was required")
        raise sa.exc.NoResultFound("no row was found when one was required")

    def scalar(self) -> Any:
        """The first value of the first row; None where there is none."""
        return self._read(self._rows[0])[0] if self._rows else None


class Prepared:
    """One statement with named parameters, the same for every engine; made when it is needed first.

    An INSERT without values writes the columns that its parameters name. Parameters that stand for several values
    (`IN` with a bound list) cannot be prepared.
    """

    __slots__ = ("_compiled", "_made", "_make")

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None
        self._compiled: dict[tuple[str, ...], _Compiled] = {}

    @property
    def statement(self) -> Any:
        """As SQLAlchemy knows it."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def on(self, connection: Connection, parameters: Mapping[str, Any] = _NOTHING) -> Rows:
        """Run it in the open transaction. Raises sqlalchemy's DBAPIError, as `Connection.execute` does."""
        raw = connection.connection.driver_connection
        if not isinstance(raw, sqlite3.Connection) or not raw.in_transaction:
            result = connection.execute(self.statement, dict(parameters))
            return Rows(result.all() if result.returns_rows else [], result.rowcount, _as_it_is)
        names = tuple(parameters)
        compiled = self._compiled.get(names)
        if compiled is None:
            compiled = self._compiled[names] = _Compiled(self._make(), connection.dialect, names)
        return compiled.run(raw, parameters)


class _Compiled:
    """A statement in SQLite's words, with parameters of these names."""

    __slots__ = ("_dialect", "_read", "_sql", "_written")

    def __init__(self, statement: Any, dialect: Dialect, names: tuple[str, ...]) -> None:
        compiled: Any = statement.compile(dialect=dialect, column_keys=list(names))
        if compiled.post_compile_params or compiled.literal_execute_params:
            raise ValueError(f"a statement whose words depend on its values cannot be prepared: {compiled}")
        self._dialect = dialect
        self._sql = str(compiled)
        self._written: list[tuple[str, Any, bool, _Processor | None]] = [
            (
                name,
                compiled.binds[name].effective_value,
                compiled.binds[name].required or name in names,
                compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect),
            )
            for name in compiled.positiontup
        ]
        self._read = _reader(getattr(statement, "exported_columns", ()), dialect)

    def run(self, raw: sqlite3.Connection, parameters: Mapping[str, Any]) -> Rows:
        values = [
            (parameters[name] if given else fixed) if write is None else write(parameters[name] if given else fixed)
            for name, fixed, given, write in self._written
        ]
        try:
            cursor = raw.execute(self._sql, values)
            rows = cursor.fetchall() if cursor.description is not None else []
        except sqlite3.Error as error:
            raise sa.exc.DBAPIError.instance(
                self._sql, None, error, sqlite3.Error, hide_parameters=True, dialect=self._dialect
            ) from error
        return Rows(rows, cursor.rowcount, self._read)


def _as_it_is(row: Any) -> Any:
    return row


def _reader(columns: Any, dialect: Dialect) -> Callable[[tuple[Any, ...]], Any]:
    """Makes a row of what the driver gives: its columns by name, in Python's types."""
    if not len(columns):
        return tuple
    row_type: Any = namedtuple("Row", [column.key for column in columns], rename=True)  # type: ignore[misc]
    make: Callable[[Any], Any] = row_type._make
    readers: list[tuple[int, _Processor]] = [
        (place, reader)
        for place, column in enumerate(columns)
        if (reader := column.type.dialect_impl(dialect).result_processor(dialect, None)) is not None
    ]
    if not readers:
        return make

    def read(row: tuple[Any, ...]) -> Any:
        values = list(row)
        for place, reader in readers:
            values[place] = reader(values[place])
        return make(values)

    return read
