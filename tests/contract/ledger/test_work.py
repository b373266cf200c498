"""The questions that are asked all the time, on both engines: what is due, who is in trouble, who has the claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from catalog.model import Band
from remediator.clock import SystemClock
from remediator.ledger import alerts, incidents, leases, runs, schema, work
from remediator.ledger.engine import Ledger, Tx
from remediator.ledger.incidents import LeaseLost
from remediator.ledger.leases import Fenced
from remediator.ledger.prepared import Prepared
from remediator.model import Incident, IncidentState
from tests.contract.ledger.test_contract import note, row
from tests.contract.ledger.test_retention import run_of


def opened(tx: Tx, name: str, target: str | None, **changes: Any) -> str:
    number = incidents.open_new(
        tx, metric_id="m", resource=name, category="infra", band=Band.WARNING, target=target, firing={"f": "warning"},
        labels={},
    )  # fmt: skip
    incidents.set_fields(tx, number, labels={}, **changes)
    return number


async def test_groups_in_trouble_are_those_with_a_confirmed_open_incident(ledger: Ledger) -> None:
    def store(tx: Tx) -> None:
        held = {"verdict": "hold", "reasons": ["tier_above_ceiling"]}
        opened(tx, "a", "api", **held)
        opened(tx, "b", "api", **held)
        opened(tx, "c", None, **held)
        opened(tx, "new", "not judged")
        opened(tx, "unproven", "unproven", verdict="hold", reasons=["evidence_absent", "storm"])
        opened(tx, "ended", "ended", firing={}, **held)
        opened(tx, "blind", "blind", state="blind", **held)
        opened(tx, "closed", "closed", closed_at=1.0, **held)

    await ledger.write(store)
    found = await ledger.read(lambda c: incidents.troubled(c, quiet=(IncidentState.BLIND,), unproven="evidence_absent"))
    assert found == ({"api"}, {("m", "c")})


async def test_what_is_due_is_what_nobody_has(ledger: Ledger) -> None:
    assert await ledger.read(lambda c: work.due(c, ledger.clock.now())) == work.Due(False, False, ())

    def store(tx: Tx) -> None:
        alerts.accept(tx, [row("waits")])
        driving = opened(tx, "driving", "t", state="acting", wake_at=tx.now + 99)
        run_of(tx, "driven", driving, active=1)
        for name, incident_id in (("by-hand", None), ("undone", "closed long ago"), ("leased", None)):
            run_of(tx, name, incident_id, active=1)
        run_of(tx, "asked", None)
        run_of(tx, "settled", None)
        run_of(tx, "kept", None, kept=1)
        run_of(tx, "kept longer", None, kept=1)
        values = {
            "driven": {"state": "running"},
            "by-hand": {"state": "running"},
            "undone": {"state": "undoing"},
            "leased": {"state": "running", "lease_until": tx.now + 60},
            "asked": {"state": "held"},
            "settled": {"state": "held"},
            "kept": {"release_at": tx.now - 1},
            "kept longer": {"release_at": tx.now + 60},
        }
        for name, changes in values.items():
            tx.execute(sa.update(schema.runs).where(schema.runs.c.id == name).values(**changes))
        pending = {"status": "pending", "expires_at": tx.now + 60}
        tx.execute(sa.update(schema.approvals).where(schema.approvals.c.run_id == "asked").values(**pending))
        opened(tx, "later", "x", wake_at=tx.now + 60)
        opened(tx, "claimed", "y", wake_at=tx.now - 1, lease_until=tx.now + 60)

    await ledger.write(store)
    found = await ledger.read(lambda c: work.due(c, ledger.clock.now()))
    assert (found.notices, found.incidents) == (True, False)
    assert sorted(found.runs) == [
        ("carry_on", "by-hand"), ("carry_on", "undone"), ("release", "kept"), ("settle_held", "settled"),
    ]  # fmt: skip
    await ledger.write(lambda tx: opened(tx, "now", "z"))
    assert (await ledger.read(lambda c: work.due(c, ledger.clock.now() + 0.001))).incidents


async def claimed(ledger: Ledger, owner: str, lease: float) -> Incident | None:
    found = await ledger.write(lambda tx: incidents.claim_due(tx, owner, lease, 1))
    return found[0] if found else None


async def test_a_claim_is_one_owners_until_it_ends(ledger: Ledger) -> None:
    await ledger.write(lambda tx: opened(tx, "a", "t", wake_at=tx.now - 1))
    first = await claimed(ledger, "first", 60)
    assert first is not None
    assert await claimed(ledger, "second", 60) is None
    await ledger.write(lambda tx: leases.keep(tx, [first.id], "second", 600))  # not theirs to keep
    await ledger.write(lambda tx: incidents.renew(tx, first, 0.0))
    second = await claimed(ledger, "second", 60)
    assert second is not None
    assert second.fence == first.fence + 1
    mine, theirs = Fenced(ledger, first), Fenced(ledger, second)
    with pytest.raises(LeaseLost):
        await mine.write(note("from the dead"))
    assert await theirs.write(note("alive")) == 1
    for late in (
        lambda tx: incidents.renew(tx, first, 60),
        lambda tx: incidents.move(tx, first, IncidentState.PLANNING, reason="x", wake_at=None),
        lambda tx: incidents.give_back(tx, first, 0.0),
    ):
        with pytest.raises(LeaseLost):
            await ledger.write(late)
    assert ledger.head[0] == 1, "and nothing of it was recorded"


async def test_an_incident_that_is_due_again_at_once_keeps_its_claim(ledger: Ledger) -> None:
    await ledger.write(lambda tx: opened(tx, "a", "t", wake_at=tx.now - 1))
    mine = await claimed(ledger, "me", 60)
    assert mine is not None
    await ledger.write(lambda tx: incidents.move(tx, mine, IncidentState.PLANNING, reason="on", wake_at=tx.now))
    assert await claimed(ledger, "other", 60) is None
    again = await ledger.read(lambda c: incidents.get(c, mine.id))
    assert again is not None
    await ledger.write(
        lambda tx: incidents.move(tx, again, IncidentState.COOLING, reason="later", wake_at=tx.now + 0.0001)
    )
    taken = await claimed(ledger, "other", 60)
    assert taken is not None


async def test_a_run_that_no_incident_drives_is_claimed_too(ledger: Ledger) -> None:
    await ledger.write(lambda tx: run_of(tx, "r", None, active=1))
    first = await ledger.write(lambda tx: runs.claim(tx, "r", "first", 60))
    assert first is not None
    assert await ledger.write(lambda tx: runs.claim(tx, "r", "second", 60)) is None
    await ledger.write(lambda tx: runs.check_driver(tx, "r", "first"))
    with pytest.raises(LeaseLost):
        await ledger.write(lambda tx: runs.check_driver(tx, "r", "second"))
    assert await ledger.write(leases.give_up) == 1
    second = await ledger.write(lambda tx: runs.claim(tx, "r", "second", 60))
    assert second is not None
    with pytest.raises(LeaseLost):
        await Fenced(ledger, first).write(note("late"))
    with pytest.raises(LeaseLost):
        await ledger.write(lambda tx: runs.renew(tx, first, 60))


async def test_heals_of_one_metric_and_resource_are_counted_since_then(ledger: Ledger) -> None:
    def store(tx: Tx) -> None:
        for outcome, closed_at in (("healed", 50.0), ("healed", 150.0), ("healed", 250.0), ("self_resolved", 250.0)):
            opened(tx, "a", None, state="closed", outcome=outcome, closed_at=closed_at)
        opened(tx, "b", None, state="closed", outcome="healed", closed_at=250.0)

    await ledger.write(store)
    assert await ledger.read(lambda c: incidents.heals_since(c, "m", "a", 100.0)) == 2


@pytest.mark.parametrize(
    ("asked", "given", "index"),
    [
        (incidents._HEALS_SINCE, {"metric_id_": "m", "resource_": "a", "since_": 0.0}, "incidents_healed"),
        (runs._OUTCOMES, {"playbook_": "p"}, "COVERING INDEX runs_outcomes"),
        (runs._LAST, {"playbook_": "p", "target_": "t"}, "COVERING INDEX runs_of_target"),
        (runs._KEPT_LATER, {"target_": "t", "run_": "r"}, "runs_of_target"),
    ],
)
async def test_what_every_decision_asks_does_not_read_everything_that_ever_was(
    tmp_path: Path, asked: Prepared, given: dict[str, Any], index: str
) -> None:
    ledger = await Ledger.open(tmp_path / "ledger.db", SystemClock())
    try:
        statement = asked.statement.params(**given)
        text = statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
        plan = await ledger.read(lambda c: [row[3] for row in c.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")])
        assert any(index in line for line in plan), plan
    finally:
        await ledger.close()
