"""The collector `sql` over real servers: stopped, started, locked, hanging, frozen."""

import asyncio
import signal
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.load import load_catalog
from exporter.collectors.base import CollectError, Setting
from exporter.collectors.sql import SqlCollector, SqlConfig
from exporter.families import Reading
from tests.integration.exporter.conftest import free_port, until
from tests.integration.exporter.databases import PASSWORD, Maria, Postgres, Server

DEPTH = "SELECT shop, sum(backlog) AS backlog FROM orders GROUP BY shop"
PLAIN = "SELECT 'all' AS shop, count(*) AS backlog FROM others"
TIMEOUT = 1.0


@pytest.fixture(scope="module", params=[Postgres, Maria])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="grace-db-", ignore_cleanup_errors=True) as folder:
        found: Server = request.param(Path(folder), free_port())
        try:
            found.make()
            yield found
        finally:
            found.stop()


@pytest.fixture
def shop(server: Server) -> Server:
    server.execute("DELETE FROM orders", "INSERT INTO orders VALUES ('north', 2), ('north', 5.5), ('south', NULL)")
    return server


class Collecting:
    """A collector with one query for each of the given ones."""

    def __init__(self, server: Server, *queries: str, **changed: Any) -> None:
        query = {"metric_ids": ["executor.queue_depth"], "values": {"grace_executor_queue_depth": "backlog"}}
        written = {
            "name": "shop",
            "collector": "sql",
            "url": server.url,
            "timeout": TIMEOUT,
            "queries": [
                {**query, "sql": sql, **({"resource_column": "shop"} if "shop" in sql else {"resource": "all"})}
                for sql in queries
            ],
            **changed,
        }
        config = SqlConfig.model_validate(written)
        catalog = load_catalog()
        assert not list(config.faults(catalog))
        self.collector = SqlCollector(config, Setting(catalog, 15.0))

    async def read(self, index: int = 0) -> Reading:
        return await self.collector.probes[index].collect()

    async def value(self, index: int = 0) -> dict[str, float]:
        reading = await self.read(index)
        return {dict(each.labels)["resource"]: each.value for family in reading.families for each in family.samples}

    async def fails(self, index: int = 0) -> str:
        """Why it fails, as it does in good time."""
        begun = time.monotonic()
        with pytest.raises(CollectError) as failed:
            await self.read(index)
        assert time.monotonic() - begun < TIMEOUT + 2
        assert PASSWORD not in str(failed.value)
        return str(failed.value)

    async def recovers(self, within: float = 20.0) -> None:
        end = time.monotonic() + within
        while True:
            try:
                await self.read()
                return
            except CollectError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.1)


@pytest.fixture
async def made(shop: Server) -> AsyncIterator[Any]:
    collectors = []

    def make(*queries: str, **changed: Any) -> Collecting:
        collectors.append(Collecting(shop, *queries, **changed))
        return collectors[-1]

    yield make
    for each in collectors:
        await each.collector.close()


async def test_sums_are_numbers_and_null_is_no_value(made: Any) -> None:
    assert await made(DEPTH).value() == {"north": 7.5}


async def test_nothing_can_be_changed(made: Any, shop: Server) -> None:
    for change in ("DELETE FROM orders", "INSERT INTO orders VALUES ('east', 1)", "DROP TABLE others"):
        await made(change).fails()
    assert shop.refuses in await made("SELECT wiped() AS backlog").fails()
    assert await made(DEPTH).value() == {"north": 7.5}


async def test_one_connection_is_kept(made: Any, shop: Server) -> None:
    collecting = made(DEPTH, PLAIN)
    for _ in range(5):
        await collecting.read(0)
        await collecting.read(1)
    assert shop.connections() == 1
    await collecting.collector.close()
    until(lambda: not shop.connections())


async def test_a_restart_between_two_collections_is_not_noticed(made: Any, shop: Server) -> None:
    collecting = made(DEPTH)
    await collecting.read()
    shop.restart()
    assert await collecting.value() == {"north": 7.5}


async def test_a_stopped_server_is_left_alone_for_a_while_and_found_again(made: Any, shop: Server) -> None:
    collecting = made(DEPTH)
    await collecting.read()
    shop.stop()
    reason = await collecting.fails()
    assert "refused" in reason
    begun = time.monotonic()
    for _ in range(100):
        assert await collecting.fails()
    assert time.monotonic() - begun < 5
    shop.start()
    await collecting.recovers()


async def test_a_locked_table_fails_its_own_query_alone(made: Any, shop: Server) -> None:
    collecting = made(DEPTH, PLAIN)
    unlock = shop.locked()
    try:
        stuck = asyncio.ensure_future(collecting.fails())
        await asyncio.sleep(0.2)
        begun = time.monotonic()
        assert await collecting.value(1) == {"all": 0}
        assert time.monotonic() - begun < 0.5
        assert shop.gave_up in await stuck
    finally:
        unlock()
    assert await collecting.value() == {"north": 7.5}


async def test_a_query_of_30_seconds_is_given_up_by_the_server_too(made: Any, shop: Server) -> None:
    collecting = made(f"SELECT {shop.sleep} AS backlog", PLAIN)
    assert shop.gave_up in await collecting.fails()
    assert shop.running() == 0
    assert await collecting.value(1) == {"all": 0}


async def test_a_server_that_falls_silent_is_hung_up_on(made: Any, shop: Server) -> None:
    collecting = made(DEPTH)
    await collecting.read()
    shop.signal(signal.SIGSTOP)
    try:
        await collecting.fails()
        await collecting.fails()
        assert not [thread for thread in threading.enumerate() if _waits_for_database(thread)]
    finally:
        shop.signal(signal.SIGCONT)
    await collecting.recovers()
    assert await collecting.value() == {"north": 7.5}


def _waits_for_database(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if "psycopg" in frame.f_code.co_filename or "pymysql" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


async def test_a_hundred_thousand_rows_are_refused(made: Any, shop: Server) -> None:
    assert "more than 10000 rows" in await made(shop.numbers).fails()


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELEC 1", "syntax"),
        ("SELECT backlog FROM nowhere", "nowhere"),
        ("SELECT 'many' AS backlog", 'column "backlog" holds str, not a number'),
        ("SELECT 1 AS other", 'no column "backlog"'),
    ],
)
async def test_what_is_wrong_with_a_query_is_said(made: Any, sql: str, said: str) -> None:
    assert said in await made(sql).fails()


async def test_a_password_in_a_file_is_read_for_every_connection(made: Any, shop: Server, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("wrong")
    collecting = made(DEPTH, url=shop.url.replace(f":{PASSWORD}", ""), password_file=file)
    assert "grace" in await collecting.fails()
    file.write_text(f"{PASSWORD}\n")
    await collecting.recovers()
