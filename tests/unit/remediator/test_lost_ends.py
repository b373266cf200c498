"""An end whose notification was lost: believed once Alertmanager is settled, twice absent, and the data are good."""

from __future__ import annotations

from dataclasses import dataclass

from catalog.config import GraceConfig
from catalog.model import TimeScale
from remediator.alertmanager import AlertmanagerStatus, HeldAlert
from remediator.model import IncidentState, Outcome
from remediator.pipeline.reconcile import SETTLED, reconcile
from tests.unit.remediator.simulation import Simulation, simulation

MEMORY = "infra.memory_utilization"


@dataclass
class Alertmanager:
    """Holds nothing; has been up since then."""

    up_since: float = 0.0

    async def alerts(self, receiver: str) -> tuple[HeldAlert, ...]:
        return ()

    async def status(self) -> AlertmanagerStatus:
        return AlertmanagerStatus(up_since=self.up_since, version="0", cluster="disabled")


async def escalated(sim: Simulation) -> Alertmanager:
    """An incident that waits for a person (its host has no target); its alert ends, and nobody tells."""
    sim.measure(MEMORY, "host-9", "ccc")
    await sim.alert(MEMORY, "host-9")
    assert (await sim.incident()).state is IncidentState.ESCALATED
    sim.parts.alertmanager = Alertmanager()  # type: ignore[assignment]
    assert isinstance(sim.parts.alertmanager, Alertmanager)
    return sim.parts.alertmanager


async def rounds(sim: Simulation, count: int) -> None:
    for _ in range(count):
        sim.clock.time += 30
        await reconcile(sim.parts)
        await sim.scheduler.settle()


async def test_it_is_closed_after_two_absences_once_all_has_settled() -> None:
    async with simulation() as sim:
        await escalated(sim)
        await sim.go_on(MEMORY, "host-9", "ggg")
        await rounds(sim, 5)
        assert (await sim.incident()).firing, "the last notice is younger than 300 s"
        sim.clock.time += SETTLED
        sim.measure(MEMORY, "host-9", "ggg")
        await rounds(sim, 1)
        assert (await sim.incident()).firing, "absent once"
        await rounds(sim, 1)
        incident = await sim.incident()
        assert (incident.state, incident.outcome) == (IncidentState.CLOSED, Outcome.SELF_RESOLVED)
        assert "alert_absent" in [kind for kind, _ in await sim.audit()]


async def test_an_alertmanager_that_has_just_started_or_data_that_are_not_good_close_nothing() -> None:
    async with simulation() as sim:
        alertmanager = await escalated(sim)
        sim.clock.time += SETTLED
        alertmanager.up_since = sim.clock.now() - 10
        sim.measure(MEMORY, "host-9", "ggg")
        await rounds(sim, 3)
        assert (await sim.incident()).firing, "it may not have been told of its alerts yet"
        alertmanager.up_since = 0.0
        await sim.go_on(MEMORY, "host-9", "ccc")
        await rounds(sim, 4)
        assert (await sim.incident()).firing, "absent, and still bad"
        sim.clock.time += 3600
        await rounds(sim, 4)
        assert (await sim.incident()).firing, "absent, and no fresh data"


async def test_the_time_to_settle_shrinks_with_every_other_interval() -> None:
    async with simulation() as sim:
        await escalated(sim)
        folder = sim.parts.config.data_dir
        sim.parts.config = GraceConfig(data_dir=folder, time_scale=TimeScale(factor=0.1))
        await sim.go_on(MEMORY, "host-9", "ggg")
        await rounds(sim, 2)
        assert (await sim.incident()).state is IncidentState.CLOSED
