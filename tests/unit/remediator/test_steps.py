"""A run of several steps: each result is written with what follows it, and nothing is done twice."""

from __future__ import annotations

from typing import Any

import pytest

from remediator.ledger import runs, settings
from remediator.model import RunState, Step
from remediator.pipeline import act
from remediator.pipeline.stages import acting
from tests.unit.remediator.simulation import Simulation, simulation

CPU = "infra.cpu_utilization"
EFFECT = ("edge", "shift", 1)


async def troubled(sim: Simulation) -> None:
    """An alert whose first candidate has three steps."""
    catalog = sim.parts.catalog
    shift = catalog.playbooks["shift-load"]
    thrice = shift.model_copy(update={"steps": shift.steps * 3})
    sim.parts.catalog = catalog.model_copy(update={"playbooks": {**catalog.playbooks, "shift-load": thrice}})
    sim.measure(CPU, "api-1", "ccc")
    await sim.alert(CPU, "api-1")


async def journal(sim: Simulation) -> list[Step]:
    (run,) = await sim.executions()
    return await sim.parts.ledger.read(lambda connection: runs.steps_of(connection, run.id))


async def test_steps_are_journaled_one_after_the_other() -> None:
    async with simulation() as sim:
        await troubled(sim)
        assert sim.driver.effects == [EFFECT] * 3
        kinds = [(kind, body["step"]) for kind, body in await sim.audit() if kind.startswith("step_")]
        assert kinds == [(kind, index) for index in range(3) for kind in ("step_intended", "step_done")]
        (run,) = await sim.executions()
        assert run.state is RunState.VERIFYING


async def test_a_freeze_after_a_step_leaves_its_result_and_begins_no_other() -> None:
    async with simulation() as sim:

        async def freeze() -> None:
            await sim.parts.ledger.write(lambda tx: settings.put(tx, {"frozen": True}, by="ann", reason="stop"))

        # Three looks make the plan; the fourth follows the first effect.
        sim.driver.before_observing = [lambda: None, lambda: None, lambda: None, freeze]
        await troubled(sim)
        assert sim.driver.effects == [EFFECT]
        assert [(step.index, step.state) for step in await journal(sim)] == [(0, "done")]
        await sim.parts.ledger.write(lambda tx: settings.put(tx, {"frozen": False}, by="ann", reason="go on"))
        await sim.go_on(CPU, "api-1", "c")
        assert sim.driver.effects == [EFFECT] * 3
        assert [(step.index, step.state, step.attempts) for step in await journal(sim)] == [
            (index, "done", 1) for index in range(3)
        ]


async def test_a_result_that_cannot_be_written_with_what_follows_is_found_by_looking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truly = acting._acted
    tries: list[int] = []

    def once_in_vain(*given: Any) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("not now")
        truly(*given)

    monkeypatch.setattr(acting, "_acted", once_in_vain)
    async with simulation() as sim:
        await troubled(sim)
        assert [step.state for step in await journal(sim)] == ["done", "done", "intended"], "both or neither"
        await sim.go_on(CPU, "api-1", "c")
        assert [step.state for step in await journal(sim)] == ["done"] * 3
        assert sim.driver.effects == [EFFECT] * 3, "what stands is not done again"
        (run,) = await sim.executions()
        assert run.state is RunState.VERIFYING


async def test_a_run_whose_steps_are_all_done_goes_on_without_another_effect() -> None:
    """A process may have died before what follows the last step was written with it."""
    async with simulation() as sim:
        await troubled(sim)
        (run,) = await sim.executions()
        ended: list[str] = []
        failed = await act.execute(sim.parts, run, "api-1", None, lambda tx: ended.append("once"))
        assert failed is None
        assert ended == ["once"]
        assert sim.driver.effects == [EFFECT] * 3
