import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from catalog.model import Catalog
from exporter.collectors.base import CollectError, Setting
from exporter.collectors.rows import MAX_ROWS
from exporter.collectors.sql import SqlCollector, SqlConfig, number
from exporter.families import Kind, Measured, Reading

DEPTH = "SELECT count(*) AS depth, min(enqueued_at) AS oldest FROM tasks WHERE started_at IS NULL"


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE tasks (id INTEGER PRIMARY KEY, enqueued_at REAL, started_at REAL, pool TEXT)")
    yield connection
    connection.close()


def config(path: Path, *queries: dict[str, Any], **changed: Any) -> SqlConfig:
    query = {
        "metric_ids": ["executor.queue_depth", "executor.task_latency"],
        "resource": "workers",
        "sql": DEPTH,
        "values": {"grace_executor_queue_depth": "depth", "grace_executor_oldest_task_timestamp_seconds": "oldest"},
    }
    written = {"name": "queue", "collector": "sql", "url": f"sqlite:///{path}", "timeout": "1s", **changed}
    return SqlConfig.model_validate({**written, "queries": [{**query, **each} for each in queries or ({},)]})


async def collect(config: SqlConfig, setting: Setting) -> Reading:
    collector = SqlCollector(config, setting)
    try:
        return await collector.probes[0].collect()
    finally:
        await collector.close()


async def test_an_empty_queue_has_depth_0_and_no_oldest_task(
    tmp_path: Path, tasks: sqlite3.Connection, setting: Setting, values: Any
) -> None:
    reading = await collect(config(tmp_path / "tasks.db"), setting)
    assert values(reading) == {"grace_executor_queue_depth{resource=workers}": 0}
    both = {Measured("executor.queue_depth", "workers"), Measured("executor.task_latency", "workers")}
    assert reading.measured == both
    tasks.execute("INSERT INTO tasks (enqueued_at) VALUES (1700000000.5), (1700000100)")
    reading = await collect(config(tmp_path / "tasks.db"), setting)
    assert values(reading) == {
        "grace_executor_queue_depth{resource=workers}": 2,
        "grace_executor_oldest_task_timestamp_seconds{resource=workers}": 1700000000.5,
    }


async def test_rows_name_their_resource_and_labels_and_parameters_are_bound(
    tmp_path: Path, tasks: sqlite3.Connection, setting: Setting, values: Any
) -> None:
    tasks.execute("INSERT INTO tasks (pool) VALUES ('a'), ('a'), ('b''; DROP TABLE tasks'), (NULL)")
    grouped = {
        "metric_ids": ["executor.queue_depth"],
        "resource": None,
        "resource_column": "pool",
        "labels": {"kind": "kind"},
        "sql": "SELECT pool, count(*) AS depth, :kind AS kind FROM tasks GROUP BY pool",
        "parameters": {"kind": "it's"},
        "values": {"grace_executor_queue_depth": "depth"},
    }
    reading = await collect(config(tmp_path / "tasks.db", grouped), setting)
    assert values(reading) == {
        "grace_executor_queue_depth{kind=it's,resource=a}": 2,
        "grace_executor_queue_depth{kind=it's,resource=b'; DROP TABLE tasks}": 1,
    }


async def test_a_name_that_ends_with_total_is_a_counter(
    tmp_path: Path, tasks: sqlite3.Connection, setting: Setting
) -> None:
    counter = {
        "metric_ids": ["learning.sessions_started"],
        "sql": "SELECT count(*) AS n FROM tasks",
        "values": {"grace_learning_sessions_started_total": "n"},
    }
    collector = SqlCollector(config(tmp_path / "tasks.db", counter), setting)
    (probe,) = collector.probes
    assert probe.pace.interval == setting.scrape_interval
    (family,) = (await probe.collect()).families
    assert family.kind is Kind.COUNTER


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1 AS dept, 2 AS oldest", 'no column "depth".*did you mean "dept"'),
        ("SELECT 'many' AS depth, 2 AS oldest", 'column "depth" holds str'),
        ("SELECT x'00' AS depth, 2 AS oldest", "holds bytes"),
        ("SELECT depth FROM nowhere", "no such table: nowhere"),
        ("DELETE FROM tasks", "readonly database|does not return rows"),
        ("CREATE TABLE t (x)", "readonly database"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("", ""),
    ],
)
async def test_what_is_not_a_value_is_refused(
    tmp_path: Path, tasks: sqlite3.Connection, setting: Setting, sql: str, message: str
) -> None:
    if not sql:
        with pytest.raises(ValidationError):
            config(tmp_path / "tasks.db", {"sql": sql})
        return
    tasks.execute("INSERT INTO tasks (enqueued_at) VALUES (1)")
    with pytest.raises(CollectError, match=message):
        await collect(config(tmp_path / "tasks.db", {"sql": sql}), setting)
    assert tasks.execute("SELECT count(*) FROM tasks").fetchone() == (1,)


async def test_no_row_and_null_are_absent_and_never_0(
    tmp_path: Path, tasks: sqlite3.Connection, setting: Setting
) -> None:
    for sql in ("SELECT 1 AS depth, 2 AS oldest WHERE 0", "SELECT NULL AS depth, 9e999 AS oldest"):
        reading = await collect(config(tmp_path / "tasks.db", {"sql": sql}), setting)
        assert reading.families == ()
        assert Measured("executor.queue_depth", "workers") in reading.measured


async def test_too_many_rows_are_an_error_not_a_flood(
    tmp_path: Path, tasks: sqlite3.Connection, setting: Setting
) -> None:
    flood = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) "
        "SELECT i AS depth, i AS oldest FROM n"
    )
    with pytest.raises(CollectError, match=f"more than {MAX_ROWS} rows") as raised:
        await collect(config(tmp_path / "tasks.db", {"sql": flood}), setting)
    assert raised.value.dropped == MAX_ROWS + 1


async def test_a_query_without_end_is_interrupted_in_the_database(
    tmp_path: Path, tasks: sqlite3.Connection, setting: Setting
) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS depth, 1 AS oldest FROM n"
    )
    begun = time.monotonic()
    with pytest.raises(CollectError, match="interrupted"):
        await collect(config(tmp_path / "tasks.db", {"sql": endless}, timeout="0.2s"), setting)
    assert time.monotonic() - begun < 5
    for thread in threading.enumerate():
        if thread.name == "grace-queue":
            thread.join(5)
            assert not thread.is_alive()


async def test_a_missing_database_is_not_created(tmp_path: Path, setting: Setting) -> None:
    with pytest.raises(CollectError, match="unable to open"):
        await collect(config(tmp_path / "gone.db"), setting)
    assert not (tmp_path / "gone.db").exists()


async def test_a_locked_database_is_waited_for_only_so_long(tmp_path: Path, setting: Setting) -> None:
    path = tmp_path / "plain.db"
    with sqlite3.connect(path) as writer:
        writer.execute("CREATE TABLE tasks (enqueued_at, started_at)")
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(CollectError, match="locked"):
        await collect(config(path, timeout="0.1s"), setting)
    writer.rollback()
    writer.close()
    assert (await collect(config(path), setting)).families


def test_cells_are_numbers_or_moments_or_nothing() -> None:
    assert number(Decimal("1.5"), "c") == 1.5
    assert number(True, "c") == 1.0
    assert number(datetime(2026, 1, 1, tzinfo=UTC), "c") == number(datetime(2026, 1, 1), "c")  # noqa: DTZ001
    assert number(None, "c") is None
    assert number(math.nan, "c") is None


def test_what_does_not_fit_the_catalog_is_said_with_its_place(tmp_path: Path, catalog: Catalog) -> None:
    wrong = config(
        tmp_path / "x",
        {"values": {"grace_executor_queue_dept": "depth"}},
        {"metric_ids": ["executor.queue_dept"], "resource_column": "pool"},
    )
    said = dict(wrong.faults(catalog))
    assert 'did you mean "grace_executor_queue_depth"' in said["queries", 0, "values", "grace_executor_queue_dept"]
    assert 'did you mean "executor.queue_depth"' in said["queries", 1, "metric_ids", 0]
    assert "one of" in said["queries", 1]


@pytest.mark.parametrize("url", ["nonsense", "oracle://h/d", "sqlite//x"])
def test_an_unknown_database_is_refused_when_the_file_is_read(url: str) -> None:
    with pytest.raises(ValidationError):
        config(Path("x"), url=url)


def test_no_secret_is_shown() -> None:
    found = config(Path("x"), url="postgresql://user:hunter2@/x")
    assert "hunter2" not in repr(found)
