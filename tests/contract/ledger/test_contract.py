"""What every engine promises, whatever is behind it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.audit.schema import COLUMNS
from remediator.audit.verify import verify
from remediator.ledger import alerts, engine, schema, settings
from remediator.ledger.engine import Ledger, LedgerRefused, LedgerUnavailable, Tx
from remediator.ledger.migrations import version
from tests.contract.ledger.conftest import Opening


def row(key: str, **changes: Any) -> dict[str, Any]:
    return {
        "key": key,
        "fingerprint": key,
        "status": "firing",
        "starts_at": 1.5,
        "ends_at": None,
        "labels": {"resource": "api-1", "odd": "\u2028 ' \\ é"},
        "annotations": {},
        "source": "webhook",
        **changes,
    }


def note(name: str) -> Any:
    """A function that records one entry."""
    return lambda tx: tx.record("noted", {"name": name})


async def rows(ledger: Ledger) -> list[Any]:
    def read(connection: Connection) -> list[Any]:
        columns = [schema.audit.c[name] for name in COLUMNS]
        return [tuple(each) for each in connection.execute(sa.select(*columns).order_by(schema.audit.c.seq))]

    return await ledger.read(read)


async def test_what_was_answered_is_there_after_a_restart(opening: Opening) -> None:
    first = await opening()
    assert await first.write(lambda tx: alerts.accept(tx, [row("a"), row("b")]), beside=True) == 2
    assert await first.write(note("one")) == 1
    await first.close()
    second = await opening()
    assert second.head == first.head
    assert [each.key for each in await second.write(lambda tx: alerts.unhandled(tx, 9))] == ["a", "b"]
    assert await second.write(note("two")) == 2


async def test_a_key_is_stored_once_however_often_and_wherever_it_comes(opening: Opening, engine: str) -> None:
    ledgers = [await opening()] if engine == "sqlite" else [await opening(), await opening()]
    posts = [[row(f"{number % 10}/{part}") for part in range(5)] for number in range(40)]
    for number, post in enumerate(posts):
        if number % 2:
            post.reverse()
    stored = await asyncio.gather(
        *(
            ledgers[number % len(ledgers)].write(lambda tx, post=post: alerts.accept(tx, post), beside=True)
            for number, post in enumerate(posts)
        )
    )
    assert sum(stored) == 50
    assert await ledgers[0].read(alerts.counts) == {"waiting": 50, "quarantined": 0}


async def test_a_function_that_fails_undoes_its_own_writes_and_no_others(ledger: Ledger) -> None:
    def fails(tx: Tx) -> None:
        tx.record("lost", {})
        settings.put_quietly(tx, "lost", 1)
        raise ValueError("no")

    def breaks_a_rule(tx: Tx) -> None:
        tx.record("lost", {})
        tx.execute(sa.insert(schema.meta), [{"name": "version", "value": "again"}])

    def makes_no_sense(tx: Tx) -> None:
        tx.record("lost", {})
        tx.connection.exec_driver_sql("SELECT nothing FROM nowhere")

    def keeps(tx: Tx) -> None:
        settings.put_quietly(tx, "kept", tx.now)

    functions = (note("kept"), fails, breaks_a_rule, makes_no_sense, keeps)
    results = await asyncio.gather(
        *(ledger.write(each) for _ in range(20) for each in functions), return_exceptions=True
    )
    wrong = (sa.exc.OperationalError, sa.exc.ProgrammingError)
    kinds = ["wrong" if isinstance(each, wrong) else type(each) for each in results]
    assert kinds == [int, ValueError, sa.exc.IntegrityError, "wrong", type(None)] * 20
    assert set(await ledger.read(settings.load)) == {"kept"}
    found = await rows(ledger)
    assert [each[2] for each in found] == ["noted"] * 20
    assert verify(iter(found), [], ()).faults == ()
    assert ledger.writable


async def test_writes_happen_in_the_order_in_which_they_were_asked(ledger: Ledger) -> None:
    order = await asyncio.gather(*(ledger.write(note(str(number))) for number in range(600)))
    assert list(order) == list(range(1, 601))


async def test_many_writes_share_a_commit(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = 0
    target: Any = type(ledger)
    inner = target._commit

    def counted(self: Any, *args: Any) -> Any:
        nonlocal commits
        commits += 1
        return inner(self, *args)

    monkeypatch.setattr(target, "_commit", counted)
    await asyncio.gather(*(ledger.write(note(str(number))) for number in range(500)))
    assert commits <= 20


async def test_what_waits_is_bounded(ledger: Ledger) -> None:
    results = await asyncio.gather(
        *(ledger.write(note(str(number))) for number in range(engine.WAITING + 600)), return_exceptions=True
    )
    refused = [each for each in results if isinstance(each, LedgerUnavailable)]
    assert refused
    assert str(refused[0]) == "too many writes are waiting"
    assert len(await rows(ledger)) == len(results) - len(refused)


async def test_hooks_run_once_what_was_written_is_durable_and_only_then(ledger: Ledger) -> None:
    seen: list[str] = []

    def good(tx: Tx) -> None:
        settings.put_quietly(tx, "x", 1)
        tx.on_commit.append(lambda: seen.append("good"))

    def bad(tx: Tx) -> None:
        tx.on_commit.append(lambda: seen.append("bad"))
        raise ValueError("no")

    def broken_hook(tx: Tx) -> None:
        tx.on_commit.append(lambda: seen.append("broken") or 1 / 0)  # type: ignore[func-returns-value]

    loop = asyncio.get_running_loop()
    told: list[Any] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    await asyncio.gather(ledger.write(broken_hook), ledger.write(good), ledger.write(bad), return_exceptions=True)
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    assert seen == ["broken", "good"]
    assert len(told) == 1, "a hook that breaks is told, and answers are given all the same"


async def test_a_read_is_one_snapshot_and_cannot_write(ledger: Ledger) -> None:
    await ledger.write(note("one"))

    def count(connection: Connection) -> tuple[int, int]:
        first = len(connection.execute(sa.select(schema.audit.c.seq)).all())
        # Written meanwhile by another connection, for this thread or greenlet holds none of them up.
        return first, len(connection.execute(sa.select(schema.audit.c.seq)).all())

    reading = asyncio.gather(*(ledger.read(count) for _ in range(20)))
    await asyncio.gather(*(ledger.write(note("more")) for _ in range(20)))
    assert all(first == second for first, second in await reading)
    with pytest.raises((sa.exc.DBAPIError, LedgerUnavailable)):
        await ledger.read(lambda connection: connection.execute(sa.delete(schema.alerts)))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit WHERE seq = 1",
        "INSERT INTO audit (seq, at, kind, actor, entry, prev, hash) VALUES (9, 0, 'x', 'x', 'x', 'x', 'x')",
    ],
)
async def test_the_audit_log_only_grows(ledger: Ledger, statement: str) -> None:
    await ledger.write(note("one"))
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        await ledger.write(lambda tx: tx.connection.exec_driver_sql(statement))
    assert await ledger.write(note("two")) == 2
    assert len(await rows(ledger)) == 2


# SQLite has one writer: there is no beside.
@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
async def test_what_goes_beside_cannot_be_recorded(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError, match="one end"):
        await ledger.write(note("x"), beside=True)


async def test_text_that_the_database_cannot_hold_harms_only_its_writer(ledger: Ledger) -> None:
    def odd(tx: Tx) -> None:
        settings.hold(tx, "a\x00b\ud800", until=tx.now + 9, by="x", reason="y")

    odd_one, good = await asyncio.gather(ledger.write(odd), ledger.write(note("good")), return_exceptions=True)
    assert isinstance(odd_one, Exception)
    assert not isinstance(odd_one, LedgerUnavailable)
    assert good == 1
    assert ledger.writable


async def test_a_newer_ledger_is_refused_in_one_line(opening: Opening) -> None:
    first = await opening()
    await first.write(lambda tx: tx.execute(sa.update(schema.meta).values(value="99")))
    await first.close()
    with pytest.raises(LedgerRefused, match=r"written by a newer Grace \(schema 99; this one knows \d+\): upgrade"):
        await opening()


async def test_opening_again_changes_nothing(opening: Opening) -> None:
    first = await opening()
    await first.write(note("one"))
    await first.close()
    second = await opening()
    assert await second.read(version) == schema.VERSION
    assert second.head[0] == 1


async def test_closing_finishes_what_waits_and_then_refuses(ledger: Ledger) -> None:
    waiting = asyncio.gather(*(ledger.write(note(str(number))) for number in range(50)))
    await asyncio.sleep(0)
    await ledger.close()
    assert len(await waiting) == 50
    with pytest.raises(LedgerUnavailable, match="closing"):
        await ledger.write(note("late"))
    await ledger.close()


async def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    from remediator.clock import SystemClock

    (tmp_path / "x.db").write_bytes(b"something else entirely" * 300)
    with pytest.raises(LedgerRefused, match="cannot be opened as a ledger"):
        await Ledger.open(tmp_path / "x.db", SystemClock())


async def test_a_server_that_is_not_there_is_refused_without_its_password(tmp_path: Path) -> None:
    from remediator.clock import SystemClock

    with pytest.raises(LedgerRefused, match=r"PostgreSQL database d at .* cannot be used") as refused:
        await Ledger.open(f"postgresql://me:hunter2@/d?host={tmp_path}", SystemClock())
    assert "hunter2" not in str(refused.value)
