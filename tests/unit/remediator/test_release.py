"""What healing changed is given back only once the metric has been good all the while."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.drivers.scaling import stages
from remediator.ledger import settings
from remediator.model import RunState
from remediator.pipeline import hand
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


async def test_where_only_a_person_may_give_it_back_people_are_told_once(tmp_path: Path) -> None:
    async with simulation(folder=tmp_path) as sim:
        await healed(sim)
        await sim.parts.ledger.write(lambda tx: settings.put(tx, {"ceiling": "tier_1"}, by="ann", reason="tonight"))
        for _ in range(3):
            sim.clock.time += sim.parts.policy.release_after + 1
            sim.measure(CPU, "api-1", "gggg")
            await sim.scheduler.settle()
        assert sim.driver.value["edge"] == 1
        (run,) = await sim.executions()
        lines = (tmp_path / "notifications.log").read_text().splitlines()
        assert len([line for line in lines if f"grace runs release {run.id}" in line]) == 1
        await hand.ask_undo(sim.parts, run.id, by="ann", reason="enough", release=True)
        sim.clock.time += 5
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


async def test_a_weight_goes_back_in_three_steps_and_all_the_way() -> None:
    """A driver that gives back only what stands as it was set meets, after the first step, what the release set."""
    async with simulation() as sim:
        await healed_by_weight(sim)
        seen = [sim.driver.value["edge"]]
        for _ in range(4):
            sim.measure(CPU, "api-1", "ggg")
            await sim.scheduler.settle()
            seen.append(sim.driver.value["edge"])
            sim.clock.time += sim.parts.policy.attempt_cooldown + 1
        assert seen == [90, 60, 20, 0, 0]
        (run,) = await sim.executions()
        assert not run.kept


async def test_a_person_undoes_what_is_given_back_in_part() -> None:
    async with simulation() as sim:
        await healed_by_weight(sim)
        sim.measure(CPU, "api-1", "ggg")
        await sim.scheduler.settle()
        assert sim.driver.value["edge"] == 60
        (run,) = await sim.executions()
        await hand.ask_undo(sim.parts, run.id, by="ann", reason="at once")
        sim.clock.time += 2
        await sim.scheduler.settle()
        assert sim.driver.value["edge"] == 0


async def test_what_came_later_on_a_target_goes_first() -> None:
    async with simulation() as sim:
        for value in (1, 2):
            sim.measure(CPU, "api-1", "ccc")
            await sim.alert(CPU, "api-1", started=sim.clock.now())
            await sim.go_on(CPU, "api-1", "ggg")
            await sim.alert(CPU, "api-1", status="resolved", started=sim.clock.now())
            assert sim.driver.value["edge"] == value
            sim.clock.time += sim.parts.policy.cooldown + sim.metric(CPU).window
        sim.clock.time += sim.parts.policy.release_after
        seen = [sim.driver.value["edge"]]
        for _ in range(3):
            sim.measure(CPU, "api-1", "ggg")
            await sim.scheduler.settle()
            seen.append(sim.driver.value["edge"])
            sim.clock.time += sim.parts.policy.attempt_cooldown + 1
        assert seen[:2] == [2, 1]
        assert seen[-1] == 0


async def healed_by_weight(sim: Simulation) -> None:
    """Healed, and due to be given back. The fake target takes 90 at once, and is given back in stages, as a balancer's
    weights are."""
    sim.driver.desire = lambda *_: {"value": 90}  # type: ignore[method-assign]
    sim.driver.release_steps = lambda verb, before, desired, observed: (  # type: ignore[method-assign]
        tuple({"value": value} for value in stages(observed["value"], before["value"]))
        if observed["value"] == desired["value"]
        else ()
    )
    sim.measure(CPU, "api-1", "ccc")
    await sim.alert(CPU, "api-1")
    await sim.go_on(CPU, "api-1", "ggg")
    sim.clock.time += sim.parts.policy.release_after + 1
