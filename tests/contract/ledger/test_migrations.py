"""Every earlier version is brought forward with all it holds; the dumps in `tests/data/ledger` are never changed."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from remediator.audit.verify import verify
from remediator.clock import SystemClock
from remediator.ledger import incidents, migrations, runs, schema
from remediator.ledger.engine import Ledger, LedgerUnavailable
from remediator.model import RunState
from tests.contract.ledger.cluster import Cluster
from tests.contract.ledger.test_contract import rows

DUMPS = Path(__file__).parents[2] / "data" / "ledger"
EARLIER = range(1, schema.VERSION)


def shape(path: Path) -> dict[str, Any]:
    """Columns, indexes and triggers by name, as SQLite understands them; defaults and types as it stores them."""
    with closing(sqlite3.connect(path)) as db:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found: dict[str, Any] = {
            name: sorted(
                (row[1], row[2], row[3], str(row[4]).strip("'"), row[5])
                for row in db.execute(f"PRAGMA table_info({name})")
            )
            for name in names
        }
        for name, kind in db.execute("SELECT name, type FROM sqlite_master WHERE type IN ('index', 'trigger')"):
            found[name] = (kind, sorted(row[2] or "" for row in db.execute(f"PRAGMA index_info({name})")))
        return found


def test_every_version_has_its_step_and_its_dump() -> None:
    assert sorted(migrations.MIGRATIONS) == list(range(2, schema.VERSION + 1))
    assert sorted(path.name for path in DUMPS.glob("version-*.sql")) == [f"version-{each}.sql" for each in EARLIER]


@pytest.mark.parametrize("number", EARLIER)
async def test_an_earlier_ledger_is_brought_forward_whole(tmp_path: Path, number: int) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with closing(sqlite3.connect(old)) as db:
        db.executescript((DUMPS / f"version-{number}.sql").read_text())
        before = {
            name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        }
    await (await Ledger.open(new, SystemClock())).close()
    ledger = await Ledger.open(old, SystemClock())
    try:
        assert shape(old) == shape(new)
        after = await ledger.read(
            lambda c: {name: c.execute(sa.text(f"SELECT count(*) FROM {name}")).scalar_one() for name in before}
        )
        assert after == before
        found = await rows(ledger)
        assert verify(iter(found), [], ()).faults == ()
        assert await ledger.write(lambda tx: tx.record("goes_on", {})) == len(found) + 1
        states = {run.state for run in await ledger.read(lambda c: runs.listing(c, limit=9, everything=True))}
        assert states == {RunState.HEALED, RunState.VERIFYING, RunState.HELD}
        assert len(await ledger.read(incidents.all_open)) == 2
    finally:
        await ledger.close()


async def test_a_migration_that_fails_leaves_the_ledger_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((DUMPS / "version-1.sql").read_text())
    before = shape(path)

    def breaks(connection: sa.Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE runs ADD COLUMN half TEXT")
        connection.exec_driver_sql("SELECT absent")

    monkeypatch.setattr(migrations, "MIGRATIONS", dict.fromkeys(range(2, schema.VERSION + 1), breaks))
    with pytest.raises(Exception, match="cannot be opened as a ledger: no such column: absent"):
        await Ledger.open(path, SystemClock())
    assert shape(path) == before


async def test_the_same_steps_on_postgres(postgres: Cluster) -> None:
    url, fresh = postgres.database(), postgres.database()
    for each in (url, fresh):
        await (await Ledger.open(each, SystemClock())).close()
    # A first version was never released for PostgreSQL: made from the newest by taking away what came since.
    for statement in (
        "DROP TABLE told, track_records",
        "ALTER TABLE approvals DROP COLUMN policy",
        "ALTER TABLE tokens DROP COLUMN target_groups",
        "DROP INDEX runs_alone, runs_release",
        "ALTER TABLE runs DROP COLUMN owner, DROP COLUMN lease_until, DROP COLUMN fence",
        "UPDATE meta SET value = '1' WHERE name = 'version'",
    ):
        postgres.ask(statement, url)
    await (await Ledger.open(url, SystemClock())).close()
    for question in (
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
        "WHERE table_schema = 'public' ORDER BY 1, 2",
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
    ):
        assert postgres.ask(question, url) == postgres.ask(question, fresh)


async def test_replicas_that_start_at_once_migrate_once(postgres: Cluster) -> None:
    url = postgres.database()
    opened = await asyncio.gather(*(Ledger.open(url, SystemClock()) for _ in range(4)), return_exceptions=True)
    assert [type(each).__name__ for each in opened] == ["PostgresLedger"] * 4, opened
    for each in opened:
        assert not isinstance(each, BaseException)
        await each.close()
        with pytest.raises(LedgerUnavailable):
            await each.write(lambda tx: None)
