"""A team's own alert, bound to a playbook: looked up by its labels, verified by its own expression."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from catalog.model import Binding
from remediator.ledger import alerts
from remediator.model import IncidentState, Outcome, RunState
from tests.unit.remediator.simulation import Simulation, simulation

DOWN = 'up{job="api"} == 0'
LABELS = {"alertname": "HostDown", "env": "prod", "instance": "h1:9100", "severity": "page"}


@asynccontextmanager
async def bound(verify: str | None) -> AsyncIterator[Simulation]:
    async with simulation() as sim:
        binding = Binding(
            matchers=('alertname="HostDown"', 'env=~"prod|stage"'),
            target="workers",
            playbooks=("restart-workers", "scale-workers"),
            verify=verify,
        )
        sim.parts.catalog = sim.parts.catalog.model_copy(update={"bindings": (binding,)})
        yield sim


async def deliver(sim: Simulation, labels: dict[str, str], status: str = "firing") -> None:
    row = {
        "key": f"{labels}/{status}",
        "fingerprint": "f00d",
        "status": status,
        "starts_at": sim.clock.now(),
        "ends_at": None,
        "labels": labels,
        "annotations": {},
        "source": "webhook",
    }
    await sim.parts.ledger.write(lambda tx: alerts.accept(tx, [row]))
    await sim.scheduler.settle()


async def step(sim: Simulation, count: int) -> None:
    for _ in range(count):
        sim.clock.time += 30
        await sim.scheduler.settle()


async def test_a_bound_alert_is_confirmed_acted_on_and_verified_by_its_expression() -> None:
    async with bound(DOWN) as sim:
        now = sim.clock.now()
        sim.prometheus.series[DOWN] = ({"instance": "h1:9100", "job": "api"}, now - 300, now + 30)
        await deliver(sim, LABELS)
        incident = await sim.incident()
        assert (incident.metric_id, incident.resource, incident.category) == ("alert.HostDown", "h1:9100", "bound")
        (run,) = await sim.executions()
        assert (run.playbook_id, run.target, run.verdict) == ("restart-workers", "workers", "allow")
        assert sim.driver.effects == [("workers", "restart", 1)]
        await step(sim, 3)
        assert (await sim.incident()).state is IncidentState.VERIFYING, "down until 30 s after"
        await step(sim, 2)
        incident = await sim.incident()
        assert (incident.state, incident.outcome) == (IncidentState.CLOSED, Outcome.HEALED)


async def test_an_expression_about_another_instance_confirms_nothing() -> None:
    async with bound(DOWN) as sim:
        now = sim.clock.now()
        sim.prometheus.series[DOWN] = ({"instance": "h2:9100"}, now - 300, now + 3000)
        await deliver(sim, LABELS)
        incident = await sim.incident()
        assert incident.state is IncidentState.WAITING_APPROVAL
        assert "evidence_absent" in incident.reasons
        assert sim.driver.effects == []


async def test_without_an_expression_every_run_is_held_and_never_called_healed() -> None:
    async with bound(None) as sim:
        await deliver(sim, LABELS)
        assert (await sim.incident()).state is IncidentState.WAITING_APPROVAL
        await sim.vote()
        assert sim.driver.effects == [("workers", "restart", 1)]
        await step(sim, 16)
        (run,) = await sim.executions()
        assert run.state is RunState.UNVERIFIED
        assert (await sim.incident()).state is IncidentState.ESCALATED


async def test_an_alert_that_no_binding_matches_opens_nothing() -> None:
    async with bound(DOWN) as sim:
        await deliver(sim, {**LABELS, "env": "dev"})
        await deliver(sim, {**LABELS, "alertname": "HostDown2"})
        assert await sim.incidents() == []
