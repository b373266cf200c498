"""What the scheduler tells of its work: by metric, and by log."""

from __future__ import annotations

import pytest
import structlog
from structlog.testing import capture_logs

from remediator.ledger.incidents import LeaseLost
from remediator.model import Incident
from remediator.pipeline import life
from remediator.pipeline.parts import Parts
from tests.unit.remediator.simulation import simulation

CPU = "infra.cpu_utilization"


async def test_a_lost_lease_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lose(_: Parts, incident: Incident) -> None:
        raise LeaseLost(f"incident {incident.id} is no longer ours")

    counted: list[tuple[str, int]] = []
    async with simulation() as sim:
        sim.parts.count = lambda name, by: counted.append((name, by))
        monkeypatch.setattr(life, "advance", lose)
        await sim.alert(CPU, "api-1")
    assert counted == [("leases_lost", 1)]


async def test_whatever_is_logged_on_the_way_names_the_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    async def see(_: Parts, incident: Incident) -> None:
        told.append((structlog.contextvars.get_contextvars(), incident.id))
        raise LeaseLost("enough")

    async with simulation() as sim:
        monkeypatch.setattr(life, "advance", see)
        with capture_logs():
            await sim.alert(CPU, "api-1")
    ((context, incident_id),) = told  # type: ignore[misc]
    assert context == {"incident_id": incident_id}
    assert structlog.contextvars.get_contextvars() == {}
