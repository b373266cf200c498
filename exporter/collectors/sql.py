"""Collector `sql`: values that a query gives, from SQLite, PostgreSQL, MySQL or MariaDB.

Nothing is written: the transaction is read-only. A query that takes too long is given up by the database itself.
"""

from __future__ import annotations

import math
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import sqlalchemy
from pydantic import Field, SecretStr, ValidationInfo, field_validator
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from catalog.document import Where
from catalog.fault import did_you_mean, shown
from catalog.model import Catalog, Frozen, Seconds
from exporter.blocking import Blocking
from exporter.collectors.base import CollectError, CollectorConfig, Probe, Setting, unknown_metrics
from exporter.families import SERIES_NAME, Measured, Reading, Sample, family, labels_of, raw_series

MAX_ROWS = 10_000
"""Rows of a query's answer that are read; more are an error, as no metric has so many resources."""


class QueryConfig(Frozen):
    """One query: which columns are which series. NULL, NaN and no row at all are no value, never 0."""

    metric_ids: tuple[str, ...] = Field(min_length=1)
    sql: str = Field(min_length=1)
    values: Mapping[str, str] = Field(min_length=1)
    """Column by series name; a name that ends with `_total` is a counter."""
    resource: str | None = None
    """The resource of every row; or `resource_column`."""
    resource_column: str | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Column by label name, where rows are told apart by more than their resource."""
    parameters: Mapping[str, str | int | float | bool | None] = Field(default_factory=dict)
    """Values of the `:names` in the query."""
    interval: Seconds | None = Field(default=None, gt=0)


class SqlConfig(CollectorConfig):
    collector: Literal["sql"]
    url: SecretStr
    """SQLAlchemy's: `sqlite:///PATH`, `postgresql://USER:${PASSWORD}@HOST/DB`, `mysql://…`."""
    queries: tuple[QueryConfig, ...] = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _beside(cls, written: SecretStr, info: ValidationInfo) -> SecretStr:
        try:
            url = make_url(written.get_secret_value())
        except ArgumentError as error:
            raise ValueError(
                "this is not a database URL; write it like sqlite:///PATH or postgresql://HOST/DB"
            ) from error
        if url.get_backend_name() not in DIALECTS:
            raise ValueError(f"{url.get_backend_name()} is not known; known are {', '.join(DIALECTS)}")
        folder = (info.context or {}).get("folder")
        if url.get_backend_name() == "sqlite" and url.database and folder:
            url = url.set(database=str(Path(folder) / Path(url.database).expanduser()))
        return SecretStr(url.render_as_string(hide_password=False))

    def faults(self, catalog: Catalog) -> Iterator[tuple[Where, str]]:
        yield from unknown_metrics(self.metric_ids, catalog, ("metric_ids",))
        for index, query in enumerate(self.queries):
            where: Where = ("queries", index)
            yield from unknown_metrics(query.metric_ids, catalog, (*where, "metric_ids"))
            if (query.resource is None) == (query.resource_column is None):
                yield where, 'one of "resource" and "resource_column" is needed'
            metrics = [catalog.metrics[each] for each in query.metric_ids if each in catalog.metrics]
            known = sorted(frozenset[str]().union(*map(raw_series, metrics)))
            for name in query.values:
                if metrics and name not in known:
                    hint = did_you_mean(name, known) or f"; they are derived from {', '.join(known)}"
                    yield (*where, "values", name), f"no metric of this query is derived from {shown(name)}{hint}"
            for name in query.labels:
                if not SERIES_NAME.match(name) or name == "resource":
                    yield (*where, "labels", name), "this cannot be the name of a label here"


class SqlCollector:
    """One probe for each query, over one database."""

    def __init__(self, config: SqlConfig, setting: Setting) -> None:
        self._database = Database(make_url(config.url.get_secret_value()), config.name)
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
        return lambda: reading_of(self._database.rows(query, timeout), query, metric_ids)

    async def close(self) -> None:
        """Close the connections."""
        self._database.close()


def reading_of(rows: Sequence[Mapping[str, Any]], query: QueryConfig, metric_ids: Sequence[str]) -> Reading:
    """What the rows say. Raises CollectError when a column is missing or holds something that is not a number."""
    samples: dict[str, list[Sample]] = {name: [] for name in query.values}
    measured = {Measured(each, query.resource) for each in metric_ids if query.resource is not None}
    needed = {*query.values.values(), *query.labels.values(), *filter(None, [query.resource_column])}
    for row in rows:
        missing = sorted(needed - row.keys())
        if missing:
            raise CollectError(f"the query has no column {shown(missing[0])}{did_you_mean(missing[0], list(row))}")
        resource = query.resource if query.resource_column is None else row[query.resource_column]
        if resource is None:
            continue
        labels = labels_of(
            {**{name: _word(row[column]) for name, column in query.labels.items()}, "resource": resource}
        )
        measured |= {Measured(each, dict(labels)["resource"]) for each in metric_ids}
        for name, column in query.values.items():
            value = number(row[column], column)
            if value is not None:
                samples[name].append(Sample(labels, value))
    return Reading(tuple(family(name, found) for name, found in samples.items() if found), frozenset(measured))


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


class Database:
    """One database, opened when it is first asked."""

    def __init__(self, url: URL, name: str) -> None:
        self._dialect = DIALECTS[url.get_backend_name()]
        self._url = url
        self._name = name
        self._engine: Engine | None = None

    def rows(self, query: QueryConfig, timeout: float) -> Sequence[Mapping[str, Any]]:
        """The query's rows, within `timeout` seconds. Raises CollectError; its text names no credentials."""
        try:
            if self._engine is None:
                self._engine = self._dialect.engine(self._url, timeout)
            with self._engine.connect() as connection, connection.begin():
                self._dialect.limit(connection, timeout)
                answer = connection.execute(sqlalchemy.text(query.sql), dict(query.parameters))
                rows = [dict(row) for row in answer.mappings().fetchmany(MAX_ROWS + 1)]
                connection.rollback()
        except (SQLAlchemyError, ImportError, sqlite3.Error) as error:
            raise CollectError(_reason(error, self._url)) from error
        if len(rows) > MAX_ROWS:
            raise CollectError(f"the query gives more than {MAX_ROWS} rows: aggregate them")
        return rows

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()


def _reason(error: Exception, url: URL) -> str:
    """What the database said, in one line and without the password."""
    said = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    first = re.split(r"[\r\n]", said)[0][:200]
    return first.replace(url.password, "***") if url.password else first


class Sqlite:
    """SQLite: opened read-only, never created; a long query is interrupted."""

    def engine(self, url: URL, timeout: float) -> Engine:
        path = url.database or ""

        def connect() -> sqlite3.Connection:
            uri = f"file:{quote(path)}?mode=ro"
            connection = sqlite3.connect(uri, uri=True, timeout=timeout, check_same_thread=False)
            connection.execute("PRAGMA query_only = ON")
            return connection

        return sqlalchemy.create_engine("sqlite://", creator=connect, poolclass=sqlalchemy.NullPool)

    def limit(self, connection: Connection, timeout: float) -> None:
        until = time.monotonic() + timeout
        raw = connection.connection.dbapi_connection
        assert isinstance(raw, sqlite3.Connection)
        raw.set_progress_handler(lambda: time.monotonic() > until, 10_000)


DIALECTS: Mapping[str, Sqlite] = {"sqlite": Sqlite()}
