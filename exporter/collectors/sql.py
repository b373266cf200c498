"""Collector `sql`: values that a query gives, from SQLite, PostgreSQL, MySQL or MariaDB (`sqlite`, `database`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from catalog.config import FilePath
from catalog.document import Where
from catalog.fault import did_you_mean, shown
from catalog.model import Catalog, Seconds
from exporter.blocking import COMPUTING, Blocking
from exporter.collectors.base import CollectError, NamedConfig, Probe, Setting
from exporter.collectors.rows import MAX_ROWS, Rows, RowsConfig, rows_faults
from exporter.collectors.sqlite import PREFIX, SqliteDatabase
from exporter.families import Reading

# SQLAlchemy takes 20 MB and a third of a second: `database` is imported where a configuration names a server.


class QueryConfig(RowsConfig):
    """One query: which columns are which series. NULL, NaN and no row at all are no value, never 0."""

    sql: str = Field(min_length=1)
    """A SELECT."""
    values: Mapping[str, str] = Field(min_length=1)
    """Column by series name; a name that ends with `_total` is a counter."""
    resource_column: str | None = None
    """The column that names each row's resource, instead of `resource`; a row without one is left out."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Column by label name, where rows are told apart by more than their resource."""
    parameters: Mapping[str, str | int | float | bool | None] = Field(default_factory=dict)
    """Values of the `:names` in the query."""
    interval: Seconds | None = Field(default=None, gt=0)
    """Between collections, where it is not that of the others."""


class SqlConfig(NamedConfig):
    collector: Literal["sql"]
    """What queries of a database answer."""
    url: SecretStr
    """SQLAlchemy's: `sqlite:///PATH`, `postgresql://USER:${PASSWORD}@HOST/DB`, `mysql://…`, `mariadb://…`."""
    password_file: FilePath | None = None
    """Holds the password, instead of the URL; read again for every connection."""
    queries: tuple[QueryConfig, ...] = Field(min_length=1)
    """Each is measured by itself."""

    @field_validator("url")
    @classmethod
    def _beside(cls, written: SecretStr, info: ValidationInfo) -> SecretStr:
        text = written.get_secret_value()
        if text.startswith(PREFIX):
            folder = (info.context or {}).get("folder", "")
            return SecretStr(f"{PREFIX}{folder / Path(text.removeprefix(PREFIX)).expanduser()}")
        if text.startswith("sqlite"):
            raise ValueError("write the database of a file like sqlite:///PATH")
        from exporter.collectors.database import database_url

        database_url(text)
        return written

    def faults(self, catalog: Catalog) -> Iterator[tuple[Where, str]]:
        yield from self._missing_driver()
        for index, query in enumerate(self.queries):
            other = ("resource_column", query.resource_column)
            yield from rows_faults(query, "query", other, catalog, ("queries", index))

    def _missing_driver(self) -> Iterator[tuple[Where, str]]:
        if not self.url.get_secret_value().startswith(PREFIX):
            from exporter.collectors.database import database_url, missing_driver

            missing = missing_driver(database_url(self.url.get_secret_value()))
            if missing is not None:
                yield ("url",), missing


class Readable(Protocol):
    """A database that blocks whoever asks it."""

    def rows(self, sql: str, parameters: Mapping[str, Any], timeout: float, most: int) -> Sequence[Mapping[str, Any]]:
        """The query's rows, at most so many, within `timeout` seconds. Raises CollectError."""

    def close(self) -> None:
        """Close what is held."""


def _readable(config: SqlConfig) -> Readable:
    url = config.url.get_secret_value()
    if url.startswith(PREFIX):
        return SqliteDatabase(Path(url.removeprefix(PREFIX)))
    from exporter.collectors.database import Database, database_url

    return Database(database_url(url), config.password_file, len(config.queries))


class SqlCollector:
    """One probe for each query, over one database."""

    def __init__(self, config: SqlConfig, setting: Setting) -> None:
        self._database = _readable(config)
        probes = []
        for index, query in enumerate(config.queries):
            on = setting.wanted(query.metric_ids)
            if on:
                own = config if query.interval is None else config.model_copy(update={"interval": query.interval})
                pace = setting.pace(on, own)
                name = f"query {index + 1} ({', '.join(on)})"
                probes.append(Probe(name, pace, Blocking(self._reader(query, on, pace.deadline), config.name)))
        self.probes: Sequence[Probe] = tuple(probes)

    def _reader(self, query: QueryConfig, metric_ids: Sequence[str], timeout: float) -> Callable[[], Reading]:
        # The database is told to give up a little sooner than we would, so that its reason is the one that is told.
        def read() -> Reading:
            rows = self._database.rows(query.sql, query.parameters, 0.9 * timeout, MAX_ROWS + 1)
            if len(rows) > MAX_ROWS:
                raise CollectError(f"the query gives more than {MAX_ROWS} rows: aggregate them", len(rows))
            with COMPUTING:
                return reading_of(rows, query, metric_ids)

        return read

    async def close(self) -> None:
        """Close the connections."""
        self._database.close()


def reading_of(rows: Sequence[Mapping[str, Any]], query: QueryConfig, metric_ids: Sequence[str]) -> Reading:
    """What the rows say. Raises CollectError when a column is missing or holds something that is not a number."""
    found = Rows(query.values, metric_ids, query.resource)
    needed = {*query.values.values(), *query.labels.values(), *filter(None, [query.resource_column])}
    for row in rows:
        missing = sorted(needed - row.keys())
        if missing:
            raise CollectError(f"the query has no column {shown(missing[0])}{did_you_mean(missing[0], list(row))}")
        resource = query.resource if query.resource_column is None else row[query.resource_column]
        if resource is not None:
            labels = {name: _word(row[column]) for name, column in query.labels.items()}
            found.add(resource, labels, {name: number(row[column], column) for name, column in query.values.items()})
    return found.reading()


def _word(value: object) -> object:
    return "" if value is None else value


def number(value: object, column: str) -> float | None:
    """The number in a cell: timestamps as epoch seconds (UTC where they do not say), None for NULL, NaN and infinities.

    Raises CollectError for anything else.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if not isinstance(value, int | float | Decimal):
        raise CollectError(f"column {shown(column)} holds {type(value).__name__}, not a number or a timestamp")
    found = float(value)
    return found if math.isfinite(found) else None
