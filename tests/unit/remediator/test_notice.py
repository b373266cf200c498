"""Alerts that come late, in the wrong order, or under a silence."""

from __future__ import annotations

from dataclasses import dataclass, replace

from remediator.alertmanager import AlertmanagerStatus, HeldAlert
from remediator.model import IncidentState
from remediator.pipeline.reconcile import reconcile
from remediator.webhook.timestamp import format_timestamp, parse_timestamp
from tests.unit.remediator.simulation import START, Simulation, simulation

CPU = "infra.cpu_utilization"


@dataclass
class Alertmanager:
    """Has been up for long, and holds what it is told to."""

    held: tuple[HeldAlert, ...] = ()

    async def alerts(self, receiver: str) -> tuple[HeldAlert, ...]:
        return self.held

    async def status(self) -> AlertmanagerStatus:
        return AlertmanagerStatus(up_since=0.0, version="0", cluster="disabled")


def holds(sim: Simulation, *, since: float = START, silenced: bool = False) -> Alertmanager:
    """An alert of api-1 as `Simulation.alert` delivers it."""
    labels = {
        "alertname": sim.metric(CPU).alertname,
        "metric_id": CPU,
        "resource": "api-1",
        "severity": "critical",
        "grace": "true",
    }
    began = parse_timestamp(format_timestamp(since))
    by = ("silence-1",) if silenced else ()
    alert = HeldAlert(f"{CPU}/api-1/critical", labels, {}, began, began, "active", by, (), ("grace",))
    sim.parts.alertmanager = Alertmanager((alert,))  # type: ignore[assignment]
    assert isinstance(sim.parts.alertmanager, Alertmanager)
    return sim.parts.alertmanager


async def meanings(sim: Simulation) -> list[str]:
    return [body["meaning"] for kind, body in await sim.audit() if kind == "alert_received"]


async def test_a_firing_that_comes_after_its_own_resolved_opens_nothing() -> None:
    async with simulation() as sim:
        sim.measure(CPU, "api-1", "ccc")
        await sim.alert(CPU, "api-1", status="resolved", started=START)
        await sim.alert(CPU, "api-1", started=START)
        assert await sim.incidents() == []
        assert await meanings(sim) == ["resolved", "older than its own resolved"]
        assert sim.driver.effects == []


async def test_it_is_opened_once_alertmanager_holds_it_and_prometheus_confirms_it() -> None:
    async with simulation() as sim:
        sim.measure(CPU, "api-1", "ggg")
        await sim.alert(CPU, "api-1", status="resolved", started=START)
        await sim.alert(CPU, "api-1", started=START)
        holds(sim)
        sim.clock.time += 60
        sim.measure(CPU, "api-1", "gg")
        await reconcile(sim.parts)
        await sim.scheduler.settle()
        assert await sim.incidents() == [], "Prometheus does not confirm it"
        sim.clock.time += 90
        sim.measure(CPU, "api-1", "ccc")
        for _ in range(3):
            await reconcile(sim.parts)
            await sim.scheduler.settle()
        incident = await sim.incident()
        assert incident.state is IncidentState.VERIFYING
        assert sim.driver.effects == [("edge", "shift", 1)]
        assert (await meanings(sim))[-1] == "opens an incident"
        assert (await meanings(sim)).count("opens an incident") == 1


async def test_a_new_beginning_after_an_end_is_a_new_alert() -> None:
    async with simulation() as sim:
        sim.measure(CPU, "api-1", "ccc")
        await sim.alert(CPU, "api-1", status="resolved", started=START)
        sim.clock.time += 30
        await sim.alert(CPU, "api-1", started=START + 30)
        assert (await sim.incident()).firing
        await sim.alert(CPU, "api-1", started=START)
        assert await meanings(sim) == ["resolved", "opens an incident", "belongs to an open incident"]


async def test_silenced_it_is_suspended_and_goes_on_when_the_silence_ends() -> None:
    async with simulation() as sim:
        sim.measure(CPU, "api-1", "gggggg")
        await sim.alert(CPU, "api-1", started=START)
        asked = await sim.approval()
        alertmanager = holds(sim, silenced=True)
        sim.clock.time += 60
        await reconcile(sim.parts)
        await sim.scheduler.settle()
        assert (await sim.incident()).state is IncidentState.SUSPENDED
        await sim.go_on(CPU, "api-1", "ccc")
        assert (await sim.incident()).state is IncidentState.SUSPENDED, "nothing is done under a silence"
        assert sim.driver.effects == []

        alertmanager.held = tuple(replace(each, silenced_by=()) for each in alertmanager.held)
        await reconcile(sim.parts)
        await sim.scheduler.settle()
        assert (await sim.incident()).state is IncidentState.VERIFYING
        assert sim.driver.effects == [("edge", "shift", 1)], "confirmed meanwhile, so it needs nobody's approval"
        assert (await sim.approval("void")).id == asked.id


async def test_an_alert_silenced_from_its_beginning_is_taken_in_when_the_silence_ends() -> None:
    async with simulation() as sim:
        sim.measure(CPU, "api-1", "ccc")
        alertmanager = holds(sim, silenced=True)
        sim.clock.time += 60
        sim.measure(CPU, "api-1", "cc")
        await reconcile(sim.parts)
        await sim.scheduler.settle()
        assert await sim.incidents() == []
        alertmanager.held = tuple(replace(each, silenced_by=()) for each in alertmanager.held)
        await reconcile(sim.parts)
        await sim.scheduler.settle()
        assert (await sim.incident()).state is IncidentState.VERIFYING
