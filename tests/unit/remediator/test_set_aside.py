"""What the pipeline cannot work on is set aside or paused: people are told once, and everything else goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from remediator.ledger import schema
from remediator.model import Incident, IncidentState
from remediator.pipeline import life
from tests.unit.remediator.simulation import Simulation, simulation

CPU = "infra.cpu_utilization"


async def poison(sim: Simulation, name: str) -> None:
    """An alert as no parser would store it: its labels are a list."""
    row = {
        "key": f"{name}/1/firing",
        "fingerprint": name,
        "status": "firing",
        "starts_at": sim.clock.now(),
        "ends_at": None,
        "labels": ["not", "labels"],
        "annotations": {},
        "source": "webhook",
        "received_at": sim.clock.now(),
    }
    await sim.parts.ledger.write(lambda tx: tx.execute(sa.insert(schema.alerts).values(**row)))


def told(folder: Path) -> list[str]:
    book = folder / "notifications.log"
    return book.read_text().splitlines() if book.exists() else []


async def test_an_alert_that_cannot_be_applied_is_set_aside_and_the_others_are_applied(tmp_path: Path) -> None:
    async with simulation(folder=tmp_path) as sim:
        sim.measure(CPU, "api-1", "ccc")
        await poison(sim, "f-before")
        await sim.alert(CPU, "api-1")
        await poison(sim, "f-after")
        await sim.scheduler.settle()

        assert sim.driver.effects == [("edge", "shift", 1)], "between two that are broken, one is healed"
        aside = [body for kind, body in await sim.audit() if kind == "alert_set_aside"]
        assert [body["fingerprint"] for body in aside] == ["f-before", "f-after"]
        found = await sim.parts.ledger.read(
            lambda connection: connection.execute(sa.select(schema.alerts.c.handled)).scalars().all()
        )
        assert found == [1, 1, 1], "none of them is looked at again"
        lines = [line for line in told(tmp_path) if "set aside" in line]
        assert len(lines) == 2
        assert "f-before" in lines[0]
        await sim.scheduler.settle()
        assert len([line for line in told(tmp_path) if "set aside" in line]) == 2


async def test_an_incident_that_crashes_its_stage_is_tried_again_later_and_people_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[str] = []
    planning = life.STAGES[IncidentState.PLANNING]

    async def stage(parts: object, incident: Incident, metric: object) -> None:
        if incident.resource == "api-2" and len(broken) < 3:
            broken.append(incident.id)
            raise ZeroDivisionError("a bug")
        await planning(parts, incident, metric)  # type: ignore[arg-type]

    monkeypatch.setattr(life, "STAGES", {**life.STAGES, IncidentState.PLANNING: stage})
    async with simulation(folder=tmp_path) as sim:
        sim.measure(CPU, "api-1", "ccc")
        sim.measure(CPU, "api-2", "ccc")
        await sim.alert(CPU, "api-2")
        await sim.alert(CPU, "api-1")
        assert len(broken) == 1, "not again at once"
        assert sim.driver.effects == [("edge", "shift", 1)], "the other one is healed meanwhile"
        await sim.go_on(CPU, "api-1", "g")
        await sim.go_on(CPU, "api-1", "g")
        assert len(broken) == 3
        await sim.go_on(CPU, "api-1", "ggg")
        stuck = [line for line in told(tmp_path) if "cannot be worked on" in line]
        assert len(stuck) == 1
        assert "ZeroDivisionError" in stuck[0]
        assert "a bug" not in stuck[0], "what an error says may be a stranger's words"
        states = {incident.resource: incident.state for incident in await sim.incidents()}
        assert states["api-2"] is not IncidentState.PLANNING, "once the bug is gone it goes on"
