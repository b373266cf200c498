"""What healing changed is given back only once the metric has been good all the while."""

from __future__ import annotations

import pytest

from remediator.model import RunState
from tests.unit.remediator.simulation import Simulation, simulation

CPU = "infra.cpu_utilization"


async def healed(sim: Simulation) -> None:
    sim.measure(CPU, "api-1", "ccc")
    await sim.alert(CPU, "api-1")
    await sim.go_on(CPU, "api-1", "ggg")
    assert sim.driver.value["edge"] == 1


@pytest.mark.parametrize(
    "lately", ["", "gg", "wggg", "cggg", "ggw"], ids=["none", "two", "warning", "critical", "ends"]
)
async def test_it_is_kept_while_the_metric_is_not_proven_good(lately: str) -> None:
    async with simulation() as sim:
        await healed(sim)
        sim.clock.time += sim.parts.policy.release_after + 1
        sim.measure(CPU, "api-1", lately)
        await sim.scheduler.settle()
        assert sim.driver.value["edge"] == 1
        (run,) = await sim.executions()
        assert run.kept
        assert run.release_at is not None
        assert run.release_at > sim.clock.now()


async def test_it_is_kept_while_nobody_can_be_asked() -> None:
    async with simulation() as sim:
        await healed(sim)
        sim.clock.time += sim.parts.policy.release_after + 1
        sim.measure(CPU, "api-1", "ggg")
        sim.prometheus.away = True
        await sim.scheduler.settle()
        assert sim.driver.value["edge"] == 1


async def test_it_is_given_back_as_soon_as_the_metric_was_good_for_long_enough() -> None:
    async with simulation() as sim:
        await healed(sim)
        sim.clock.time += sim.parts.policy.release_after + 1
        sim.measure(CPU, "api-1", "cggg")
        await sim.scheduler.settle()
        assert sim.driver.value["edge"] == 1
        sim.clock.time += sim.parts.policy.release_after + 1
        sim.measure(CPU, "api-1", "gggg")
        await sim.scheduler.settle()
        assert sim.driver.value["edge"] == 0


async def test_what_did_not_help_is_kept_while_the_fault_lasts() -> None:
    async with simulation() as sim:
        latency = "api.latency_p95"
        sim.measure(latency, "api", "ccc")
        await sim.alert(latency, "api")
        await sim.go_on(latency, "api", "c" * 12)
        first = (await sim.executions())[0]
        assert (first.playbook_id, first.state, first.kept) == ("scale-api-shard", RunState.INEFFECTIVE, True)
        sim.clock.time += sim.parts.policy.release_after + 1
        sim.measure(latency, "api", "ccc")
        await sim.scheduler.settle()
        assert next(run for run in await sim.executions() if run.id == first.id).kept
