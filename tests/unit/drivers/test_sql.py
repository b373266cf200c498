"""One conversation a step, in transactions of their own, that ends when nobody waits for it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from sqlalchemy import Engine, event

from catalog.inventory import Target
from catalog.model import Verb
from remediator.clock import SystemClock
from remediator.drivers.base import StepContext, World
from remediator.drivers.sql import SqlDriver, row
from remediator.drivers.sql import driver as sql
from remediator.drivers.sql.row import Database
from remediator.errors import Permanent, Transient

READ = "SELECT value FROM control WHERE name = 'rate_limit'"
WRITE = "UPDATE control SET value = :value WHERE name = 'rate_limit'"
CONTEXT = StepContext(run_id="r", step=0, key="r:0", started_at=0.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "service.db"
    with closing(sqlite3.connect(place)) as link, link:
        link.execute("CREATE TABLE control (name TEXT PRIMARY KEY, value)")
        link.execute("INSERT INTO control VALUES ('rate_limit', 60)")
    return place


def limit(file: Path) -> Any:
    with closing(sqlite3.connect(file, timeout=0)) as link:
        return link.execute(READ).fetchone()[0]


def thing(file: Path) -> Target:
    settings = {"throttle": {"read": READ, "write": WRITE}}
    return Target(name="thing", driver="sql", config={"url": f"sqlite:///{file}", "settings": settings})


def database(file: Path) -> Database:
    return Database(f"sqlite:///{file}", None, 1.0)


@contextmanager
def heard(what: str, listener: Callable[..., object]) -> Iterator[None]:
    event.listen(Engine, what, listener)
    try:
        yield
    finally:
        event.remove(Engine, what, listener)


async def test_a_step_is_one_connection_and_one_hop(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = SqlDriver(World(SystemClock(), cast(aiohttp.ClientSession, None), file.parent))
    loop, opened, hops = asyncio.get_running_loop(), [], []
    into = loop.run_in_executor
    monkeypatch.setattr(loop, "run_in_executor", lambda *words: (hops.append(1), into(*words))[1])
    with heard("engine_connect", lambda connection: opened.append(connection)):
        await driver.do(thing(file), Verb.THROTTLE, {"value": 30}, CONTEXT)
        assert (len(opened), len(hops), limit(file)) == (1, 1, 30)
        assert await driver.observe(thing(file), Verb.THROTTLE, CONTEXT) == {"value": 30}
        assert (len(opened), len(hops)) == (2, 2)


def test_what_is_read_in_the_end_was_committed_before(file: Path) -> None:
    seen: list[Any] = []

    def look(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append(limit(file))

    with heard("before_cursor_execute", look):
        assert database(file).bring_about(READ, WRITE, 30, lambda now: now == 30) == 30
    assert seen == [60, 30]


def test_what_stands_is_not_written_again(file: Path) -> None:
    written: list[str] = []
    with heard("before_cursor_execute", lambda *words: written.append(words[2])):
        assert database(file).bring_about(READ, WRITE, 60, lambda now: now == 60) == 60
    assert written == [READ]


def test_nothing_is_written_once_nobody_waits_any_more(file: Path) -> None:
    asked = database(file)
    with pytest.raises(Transient, match="ended"):
        asked.bring_about(READ, WRITE, 30, lambda now: bool(asked.cut()))
    assert limit(file) == 60


def test_what_was_written_is_not_committed_once_nobody_waits_any_more(file: Path) -> None:
    asked = database(file)

    def cut(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE"):
            asked.cut()

    with heard("after_cursor_execute", cut), pytest.raises(Transient, match="ended"):
        asked.bring_about(READ, WRITE, 30, lambda now: now == 30)
    assert limit(file) == 60


async def test_a_step_that_is_cancelled_while_it_reads_writes_nothing(file: Path) -> None:
    driver = SqlDriver(World(SystemClock(), cast(aiohttp.ClientSession, None), file.parent))
    reading, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait(*_: Any) -> None:
        loop.call_soon_threadsafe(reading.set)
        go_on.wait(10)

    with heard("before_cursor_execute", wait):
        step = asyncio.create_task(driver.do(thing(file), Verb.THROTTLE, {"value": 30}, CONTEXT))
        await reading.wait()
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        go_on.set()
        await loop.shutdown_default_executor()
    assert limit(file) == 60


@pytest.mark.parametrize("pause", [0.0, 0.3], ids=["at once", "in time each"])
async def test_each_transaction_has_its_own_time(file: Path, monkeypatch: pytest.MonkeyPatch, pause: float) -> None:
    monkeypatch.setattr(sql, "_LEEWAY", 0.0)
    with heard("before_cursor_execute", lambda *_: time.sleep(pause)):
        asked = database(file)
        found = await sql._in_thread(asked, 0.7, lambda: asked.bring_about(READ, WRITE, 30, lambda now: now == 30))
    assert found == 30


async def test_one_that_takes_too_long_is_cut_and_ends(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "_LEEWAY", 0.0)
    go_on = threading.Event()
    with heard("after_cursor_execute", lambda *words: go_on.wait(10) if words[2].startswith("UPDATE") else None):
        asked = database(file)
        with pytest.raises(Transient, match="did not answer"):
            await sql._in_thread(asked, 0.2, lambda: asked.bring_about(READ, WRITE, 30, lambda now: now == 30))
        go_on.set()
        await asyncio.get_running_loop().shutdown_default_executor()
    assert limit(file) == 60


def test_each_of_many_databases_is_set_up_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    create = row.create_engine
    monkeypatch.setattr(row, "create_engine", lambda url, **words: (made.append(url), create(url, **words))[1])
    files = [shutil.copy(file, file.with_name(f"{number}.db")) for number in range(100)]
    assert [database(each).read(READ) for each in files * 2] == [60] * 200
    assert len(made) == 100


def test_a_row_too_many_is_an_error_at_every_look(file: Path) -> None:
    with pytest.raises(Permanent, match="one row"):
        database(file).bring_about("SELECT value FROM control WHERE 0", WRITE, 30, lambda now: False)
    assert limit(file) == 60
