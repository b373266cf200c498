"""What is let go of, and what never is; and a ledger copied whole, from one engine into the other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.engine import Connection

from catalog.model import Band
from remediator.audit.verify import verify
from remediator.cli.ledger import ledger as group
from remediator.clock import SystemClock
from remediator.ledger import alerts, copy, incidents, retention, runs, schema, snapshots, told
from remediator.ledger.engine import Ledger, Tx
from remediator.model import IncidentState, Outcome
from tests.contract.ledger.cluster import Cluster
from tests.contract.ledger.conftest import Opening
from tests.contract.ledger.test_contract import row, rows

DAY = 86400.0


def incident(tx: Tx, name: str, *, closed: float | None, kept: int = 0, active: int = 0) -> str:
    """An incident with an alert, a run, a step, an approval, a vote and a snapshot; closed so many days ago."""
    number = incidents.open_new(
        tx, metric_id="m", resource=name, category="infra", band=Band.WARNING, target=name, firing={}, labels={}
    )
    if closed is not None:
        found = incidents.get(tx.connection, number)
        assert found is not None
        incidents.move(tx, found, IncidentState.CLOSED, reason="x", wake_at=None, outcome=Outcome.ACKNOWLEDGED)
        tx.execute(
            sa.update(schema.incidents).where(schema.incidents.c.id == number).values(closed_at=tx.now - closed * DAY)
        )
    alerts.accept(tx, [row(f"{name}/1", received_at=tx.now - 400 * DAY)])
    tx.execute(sa.update(schema.alerts).where(schema.alerts.c.key == f"{name}/1").values(handled=1, incident_id=number))
    run_of(tx, f"run-{name}", number, kept=kept, active=active)
    snapshots.keep(tx, incident_id=number, run_id=None, moment="before", metric_id="m", resource=name, body={})
    return number


def run_of(tx: Tx, name: str, incident_id: str | None, *, ended: float = 0, kept: int = 0, active: int = 0) -> None:
    values: dict[str, Any] = {
        "id": name, "incident_id": incident_id, "playbook_id": "p", "target": name, "group": "g", "tier": 1,
        "state": "healed", "outcome": "healed", "active": active, "verdict": "allow", "reasons": [],
        "confidence": 1.0, "evidence": "x", "digest": "d", "plan": [], "by": "grace",
        "created_at": 0.0, "ended_at": tx.now - ended * DAY, "kept": kept,
    }  # fmt: skip
    tx.execute(sa.insert(schema.runs).values(**values))
    step = {"run_id": name, "phase": "do", "index": 0, "verb": "run", "target": name, "driver": "x", "before": {},
            "desired": {}, "state": "done", "attempts": 1, "intended_at": 0.0}  # fmt: skip
    tx.execute(sa.insert(schema.steps).values(**step))
    asked = {"id": f"app-{name}", "run_id": name, "plan_digest": "d", "tier": 1, "status": "approved", "needed": 1,
             "created_at": 0.0, "expires_at": 0.0}  # fmt: skip
    tx.execute(sa.insert(schema.approvals).values(**asked))
    tx.execute(
        sa.insert(schema.votes).values(approval_id=f"app-{name}", name="ann", vote="approve", reason="x", at=0.0)
    )


async def fill(ledger: Ledger) -> None:
    def store(tx: Tx) -> None:
        incident(tx, "old", closed=91)
        incident(tx, "young", closed=89)
        incident(tx, "open", closed=None)
        incident(tx, "stands", closed=200, kept=1)
        incident(tx, "runs", closed=200, active=1)
        run_of(tx, "hand-old", None, ended=91)
        run_of(tx, "hand-young", None, ended=1)
        run_of(tx, "hand-stands", None, ended=300, kept=1)
        alerts.accept(tx, [row("of nobody", received_at=tx.now - 100 * DAY), row("waiting", received_at=0.0)])
        tx.execute(sa.update(schema.alerts).where(schema.alerts.c.key == "of nobody").values(handled=1))

    await ledger.write(store)


def left(connection: Connection) -> dict[str, set[str]]:
    def column(found: Any) -> set[str]:
        return {each[0] for each in connection.execute(sa.select(found))}

    return {
        "incidents": column(schema.incidents.c.resource),
        "runs": column(schema.runs.c.id),
        "steps": column(schema.steps.c.run_id),
        "approvals": column(schema.approvals.c.run_id),
        "votes": {name.removeprefix("app-") for name in column(schema.votes.c.approval_id)},
        "snapshots": column(schema.snapshots.c.resource),
        "alerts": column(schema.alerts.c.key),
    }


async def test_only_what_has_ended_for_good_is_let_go_of(ledger: Ledger) -> None:
    await fill(ledger)
    before = await rows(ledger)
    assert await ledger.write(lambda tx: retention.let_go(tx, 90 * DAY)) == 6 + 4 + 2
    stay = {"young", "open", "stands", "runs"}
    kept = {f"run-{name}" for name in stay} | {"hand-young", "hand-stands"}
    assert await ledger.read(left) == {
        "incidents": stay,
        "runs": kept,
        "steps": kept,
        "approvals": kept,
        "votes": kept,
        "snapshots": stay,
        "alerts": {f"{name}/1" for name in stay} | {"waiting"},
    }
    after = await rows(ledger)
    assert after[: len(before)] == before, "the audit log is whole"
    assert after[-1][2] == "retention"
    assert verify(iter(after), [], ()).faults == ()
    assert await ledger.write(lambda tx: retention.let_go(tx, 90 * DAY)) == 0
    assert len(await rows(ledger)) == len(after), "nothing let go of, nothing recorded"


async def test_a_day_is_kept_whatever_is_asked(ledger: Ledger) -> None:
    await fill(ledger)
    await ledger.write(lambda tx: incident(tx, "just now", closed=0.5))
    await ledger.write(lambda tx: retention.let_go(tx, 1.0))
    assert "just now" in (await ledger.read(left))["incidents"]


async def test_what_runs_have_proven_outlives_them(ledger: Ledger) -> None:
    await fill(ledger)

    def worse(tx: Tx) -> None:
        run_of(tx, "hand-worse", None, ended=95)
        run_of(tx, "hand-cancelled", None, ended=95)
        for name, outcome in (("hand-worse", "rolled_back"), ("hand-cancelled", "cancelled")):
            tx.execute(sa.update(schema.runs).where(schema.runs.c.id == name).values(outcome=outcome, state=outcome))

    await ledger.write(worse)
    before = await ledger.read(lambda connection: runs.outcomes(connection, "p"))
    assert before == (8, 1)
    for _ in range(2):
        assert await ledger.write(lambda tx: retention.let_go(tx, 90 * DAY))
        assert await ledger.read(lambda connection: runs.outcomes(connection, "p")) == before
        await ledger.write(lambda tx: run_of(tx, "hand-late", None, ended=95))
        before = (before[0] + 1, 1)
    assert await ledger.read(lambda connection: runs.outcomes(connection, "q")) == (0, 0)


async def test_what_people_were_told_goes_with_its_incident(ledger: Ledger) -> None:
    def store(tx: Tx) -> None:
        for name, closed in (("old", 91.0), ("open", None)):
            told.keep(tx, f"{name}:escalated", incident(tx, name, closed=closed))
        told.keep(tx, "of nothing", None)
        tx.execute(sa.update(schema.told).values(at=tx.now - 100 * DAY))
        told.keep(tx, "of nothing, lately", None)

    await ledger.write(store)
    await ledger.write(lambda tx: retention.let_go(tx, 90 * DAY))
    left = ["old:escalated", "open:escalated", "of nothing", "of nothing, lately"]
    found = await ledger.read(lambda connection: [told.holds(connection, each) for each in left])
    assert found == [False, True, False, True]


async def test_portions_end(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PORTION", 3)

    def store(tx: Tx) -> None:
        for number in range(8):
            incident(tx, f"old{number}", closed=100)

    await ledger.write(store)
    taken = []
    while gone := await ledger.write(lambda tx: retention.let_go(tx, 90 * DAY)):
        taken.append(gone)
    assert sum(taken) == 8 * 7
    assert len(taken) >= 3


def grace(*argv: str) -> Any:
    return CliRunner().invoke(group, list(argv))


async def test_check_backup_and_restore(
    opening: Opening, engine: str, place: Path | str, tmp_path: Path, postgres: Cluster
) -> None:
    ledger = await opening()
    await fill(ledger)
    config = tmp_path / "grace.yml"
    url = place if isinstance(place, str) else f"sqlite:///{place}"
    config.write_text(f"ledger: {{url: '{url}'}}\ndata_dir: {tmp_path}\n")
    backup = tmp_path / "backup.db"

    checked = await asyncio.to_thread(grace, "check", "--config", str(config), "--json")
    assert checked.exit_code == 0, checked.output
    done = await asyncio.to_thread(grace, "backup", str(backup), "--config", str(config))
    assert done.exit_code == 0, done.output
    await ledger.write(lambda tx: tx.record("later", {}))

    copied = await Ledger.open(backup, ledger.clock)
    assert await copied.read(left) == await ledger.read(left)
    assert await rows(copied) == (await rows(ledger))[:-1]
    await copied.close()

    empty = postgres.database()
    config.write_text(f"ledger: {{url: '{empty}'}}\ndata_dir: {tmp_path}\n")
    again = await asyncio.to_thread(grace, "restore", str(backup), "--config", str(config))
    assert again.exit_code == 0, again.output
    restored = await Ledger.open(empty, ledger.clock)
    assert await restored.read(left) == await ledger.read(left)
    assert await restored.write(lambda tx: tx.record("goes_on", {})) == len(await rows(ledger))
    assert await restored.write(lambda tx: alerts.accept(tx, [row("new")])) == 1, "numbers go on behind the copied ones"
    await restored.close()
    twice = await asyncio.to_thread(grace, "restore", str(backup), "--config", str(config))
    assert twice.exit_code == 2
    assert "holds a ledger already" in twice.output


def test_what_is_wrong_in_postgres_is_named(postgres: Cluster, tmp_path: Path) -> None:
    url = postgres.database()

    async def made() -> None:
        await (await Ledger.open(url, SystemClock())).close()

    asyncio.run(made())
    config = tmp_path / "grace.yml"
    config.write_text(f"ledger: {{url: '{url}'}}\ndata_dir: {tmp_path}\n")
    postgres.ask("ALTER TABLE audit DISABLE TRIGGER audit_refuses_change", url)
    found = grace("check", "--config", str(config))
    assert found.exit_code == 1
    assert "trigger audit_refuses_change is gone or switched off" in found.output
    config.write_text(f"ledger: {{url: 'postgresql://me:hunter2@/x?host={tmp_path}'}}\ndata_dir: {tmp_path}\n")
    away = grace("check", "--config", str(config))
    assert away.exit_code == 2
    assert "cannot be used as a ledger" in away.output
    assert "hunter2" not in away.output


def test_every_table_is_copied() -> None:
    assert {table.name for table in copy._tables()} | {"meta"} == set(schema.metadata.tables)
