"""A prepared statement answers as SQLAlchemy's own execution of it does, on each engine."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.clock import SystemClock
from remediator.ledger.engine import Ledger, LedgerUnavailable, Tx
from remediator.ledger.prepared import Prepared
from remediator.ledger.schema import incidents, quarantine, steps

STEP: dict[str, Any] = {
    "run_id": "r",
    "phase": "do",
    "index": 0,
    "verb": "scale",
    "target": "t",
    "driver": "process",
    "before": {"text": "ä\u2028'\"", "number": 1.5, "none": None, "deep": [{"a": [True]}]},
    "desired": [],
    "state": "intended",
    "attempts": 1,
    "intended_at": 12.25,
}
NEW = Prepared(lambda: sa.insert(steps))
OF_RUN = Prepared(lambda: sa.select(steps).where(steps.c.run_id == sa.bindparam("run_")).order_by(steps.c.index))


def many(tx: Tx, count: int = 3) -> None:
    for index in range(count):
        NEW.on(tx.connection, {**STEP, "index": index})


async def test_what_was_written_is_read_with_its_names_and_types(ledger: Ledger) -> None:
    await ledger.write(many)

    def both(connection: Connection) -> tuple[list[Any], list[Any]]:
        return list(OF_RUN.on(connection, {"run_": "r"})), list(connection.execute(OF_RUN.statement, {"run_": "r"}))

    mine, theirs = await ledger.read(both)
    assert [tuple(row) for row in mine] == [tuple(row) for row in theirs]
    assert mine[1].index == 1
    assert mine[1].before == STEP["before"]
    assert mine[1].desired == []
    assert mine[1].after is None
    assert mine[1].intended_at == 12.25


async def test_bytes_and_a_column_that_the_database_fills_in(ledger: Ledger) -> None:
    new, found = Prepared(lambda: sa.insert(quarantine)), Prepared(lambda: sa.select(quarantine))
    body = bytes(range(256))
    await ledger.write(lambda tx: new.on(tx.connection, {"received_at": 1.0, "reason": "x", "body": body, "size": 256}))
    row = (await ledger.read(lambda connection: found.on(connection))).one()
    assert row.body == body
    assert row.id >= 1


async def test_how_many_rows_were_changed_and_which(ledger: Ledger) -> None:
    await ledger.write(many)
    change = Prepared(
        lambda: (
            sa.update(steps)
            .where(steps.c.index >= sa.bindparam("from_"))
            .values(after=sa.bindparam("after_"), state="done")
            .returning(steps.c.index, steps.c.after)
        )
    )
    changed = await ledger.write(lambda tx: sorted(tuple(row) for row in change.on(tx.connection, _from(1))))
    assert changed == [(1, {"now": 2}), (2, {"now": 2})]
    plain = Prepared(lambda: sa.update(steps).where(steps.c.index >= sa.bindparam("from_")).values(state="failed"))
    assert await ledger.write(lambda tx: plain.on(tx.connection, {"from_": 2}).rowcount) == 1
    assert await ledger.write(lambda tx: plain.on(tx.connection, {"from_": 9}).rowcount) == 0


def _from(index: int) -> dict[str, Any]:
    return {"from_": index, "after_": {"now": 2}}


async def test_the_only_row_is_the_only_one(ledger: Ledger) -> None:
    await ledger.write(lambda tx: many(tx, 2))
    for run, expected in (("r", sa.exc.MultipleResultsFound), ("nobody", sa.exc.NoResultFound)):
        with pytest.raises(expected):
            await ledger.read(lambda connection, run=run: OF_RUN.on(connection, {"run_": run}).one())  # type: ignore[misc]
    empty = await ledger.read(lambda connection: OF_RUN.on(connection, {"run_": "nobody"}))
    assert empty.first() is None
    assert empty.scalar() is None
    assert list(empty) == []


async def test_a_row_that_is_there_already_is_an_integrity_error_that_tells_no_value(ledger: Ledger) -> None:
    await ledger.write(many)
    secret = {**STEP, "target": "somebody-s-secret"}
    with pytest.raises(sa.exc.IntegrityError) as caught:
        await ledger.write(lambda tx: NEW.on(tx.connection, secret))
    assert "somebody-s-secret" not in str(caught.value)
    # It was this write's own fault: the ledger goes on.
    assert ledger.writable
    await ledger.write(lambda tx: NEW.on(tx.connection, {**STEP, "index": 7}))


async def test_a_write_that_fails_takes_its_prepared_statements_with_it(ledger: Ledger) -> None:
    def half(tx: Tx) -> None:
        many(tx)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await ledger.write(half)
    assert (await ledger.read(lambda connection: OF_RUN.on(connection, {"run_": "r"}))).first() is None


async def test_a_reader_cannot_write_with_one(ledger: Ledger) -> None:
    with pytest.raises((LedgerUnavailable, sa.exc.DBAPIError)):
        await ledger.read(lambda connection: NEW.on(connection, STEP))
    assert (await ledger.read(lambda connection: OF_RUN.on(connection, {"run_": "r"}))).first() is None


def test_a_statement_whose_words_depend_on_its_values_is_refused() -> None:
    engine = sa.create_engine("sqlite://")
    several = Prepared(
        lambda: sa.select(incidents.c.id).where(incidents.c.id.in_(sa.bindparam("ids_", expanding=True)))
    )
    incidents.create(engine)
    with engine.connect() as connection:
        connection.connection.driver_connection.execute("BEGIN")  # type: ignore[union-attr]
        with pytest.raises(ValueError, match="depend on its values"):
            several.on(connection, {"ids_": ["a"]})


async def test_a_glance_sees_what_is_durable_and_goes_on_after_a_failure(ledger: Ledger) -> None:
    assert (await ledger.glance(lambda connection: OF_RUN.on(connection, {"run_": "r"}))).first() is None
    await ledger.write(many)

    def fails(connection: Connection) -> None:
        OF_RUN.on(connection, {"run_": "r"})
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await ledger.glance(fails)
    await ledger.write(lambda tx: NEW.on(tx.connection, {**STEP, "index": 3}))
    seen = await ledger.glance(lambda connection: [row.index for row in OF_RUN.on(connection, {"run_": "r"})])
    assert seen == [0, 1, 2, 3]


async def test_what_cannot_be_glanced_at_now_is_read_by_another_thread(tmp_path: Path) -> None:
    ledger = await Ledger.open(tmp_path / "ledger.db", SystemClock())
    threads: list[int] = []

    def locked_at_first(connection: Connection) -> Any:
        threads.append(threading.get_ident())
        if len(threads) == 1:
            raise sa.exc.OperationalError("SELECT", None, sqlite3.OperationalError("database is locked"))
        return OF_RUN.on(connection, {"run_": "r"}).first()

    try:
        assert await ledger.glance(locked_at_first) is None
        assert threads[0] == threading.get_ident() != threads[1]
        assert await ledger.glance(locked_at_first) is None
        assert threads[2] == threading.get_ident(), "glanced at again"
    finally:
        await ledger.close()
