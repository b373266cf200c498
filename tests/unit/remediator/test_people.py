"""What people decide, and what only they may: approvals by others, safety measures that want to be confirmed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from catalog.policy import Policy
from remediator.api import actions
from remediator.auth.tokens import Identity, Role
from remediator.errors import Permanent, Refused
from remediator.ledger import settings
from remediator.model import IncidentState, RunState
from remediator.pipeline.decide import current_settings
from tests.unit.remediator.simulation import Simulation, simulation

CPU = "infra.cpu_utilization"
VERIFIED = "learning.sources_verified"
SUCCESS = "autonomy.plan_success_rate"
ANN, BOB = Identity("ann", Role.ADMIN), Identity("bob", Role.ADMIN)


def services(sim: Simulation) -> Any:
    return SimpleNamespace(parts=sim.parts, stream=SimpleNamespace(publish=lambda kind, name: None))


async def test_who_loosened_what_allows_a_plan_does_not_approve_it() -> None:
    async with simulation() as sim:
        await actions.change_settings(services(sim), ANN, {"ceiling": "tier_3"}, "tonight")
        sim.measure(VERIFIED, "ingestion", "ccc")
        await sim.alert(VERIFIED, "ingestion")
        asked = await sim.approval()
        with pytest.raises(
            Refused, match="ann loosened ceiling, which may be what allows this plan: somebody else must approve it"
        ):
            await actions.vote(services(sim), ANN, asked.id, "approve", "mine")
        await actions.vote(services(sim), BOB, asked.id, "approve", "looked at it")
        await sim.scheduler.settle()
        assert sim.driver.value["ingestion"] == 1


async def test_who_put_a_looser_file_in_force_does_not_approve_either_but_may_reject() -> None:
    async with simulation() as sim:
        sim.parts.pending_policy, sim.parts.pending = Policy(cooldown=1.0), frozenset({"cooldown"})
        await actions.confirm_policy(services(sim), ANN, "faster")
        sim.measure(VERIFIED, "ingestion", "ccc")
        await sim.alert(VERIFIED, "ingestion")
        asked = await sim.approval()
        with pytest.raises(Refused, match="ann loosened policy"):
            await actions.vote(services(sim), ANN, asked.id, "approve", "mine")
        await actions.vote(services(sim), ANN, asked.id, "reject", "not now")
        assert (await sim.approval("rejected")).id == asked.id


async def test_a_safety_measure_applies_at_once_and_unconfirmed_it_stays_and_calls_people(tmp_path: Path) -> None:
    async with simulation(folder=tmp_path) as sim:
        sim.measure(SUCCESS, "grace", "ccc")
        await sim.alert(SUCCESS, "grace")
        (run,) = await sim.executions()
        assert (run.playbook_id, run.state) == ("downgrade-autonomy-tier", RunState.CONTAINED)
        assert "safety_ratchet" in run.reasons
        ceiling = await sim.parts.ledger.read(lambda c: current_settings(c, sim.parts).ceiling)
        assert str(ceiling) == "tier_1"
        assert (await sim.incident()).state is IncidentState.CONTAINED

        sim.clock.time += sim.parts.policy.safety_confirm_within - 1
        await sim.scheduler.settle()
        assert (await sim.incident()).state is IncidentState.CONTAINED
        sim.clock.time += 2
        await sim.scheduler.settle()
        incident = await sim.incident()
        assert incident.state is IncidentState.ESCALATED
        assert "was not confirmed by a person in time; it stays" in incident.reason
        assert await sim.parts.ledger.read(lambda c: current_settings(c, sim.parts).ceiling) == ceiling
        told = [line for line in (tmp_path / "notifications.log").read_text().splitlines() if "needs a person" in line]
        assert len(told) == 1


async def test_where_the_policy_says_wait_people_are_asked_first() -> None:
    async with simulation(policy=Policy(safety_ratchet="wait")) as sim:
        sim.measure(SUCCESS, "grace", "ccc")
        await sim.alert(SUCCESS, "grace")
        assert await sim.executions() == []
        assert (await sim.approval()).needed >= 2


async def test_an_undo_that_fails_holds_the_target_and_calls_people(tmp_path: Path) -> None:
    async with simulation(folder=tmp_path) as sim:
        sim.measure(CPU, "api-1", "ccc")
        await sim.alert(CPU, "api-1")
        sim.driver.fail["edge"] = [Permanent("the socket is gone")] * 2
        await sim.go_on(CPU, "api-1", "c" * 15)
        (run,) = await sim.executions()
        assert run.state is RunState.UNDO_FAILED
        incident = await sim.incident()
        assert (incident.state, sim.driver.value["edge"]) == (IncidentState.ESCALATED, 1)
        assert "undoing shift-load on edge failed, the target is held: the socket is gone" in incident.reason
        (held,) = await sim.parts.ledger.read(lambda c: settings.held(c, sim.clock.now()))
        assert (held["target"], held["by"]) == ("edge", "grace")

        await sim.parts.ledger.write(lambda tx: settings.unhold(tx, "edge", by="ann", reason="looked at it"))
        await actions.give_back(services(sim), ANN, run.id, "once more", release=False)
        sim.clock.time += 2
        await sim.scheduler.settle()
        assert await sim.parts.ledger.read(lambda c: settings.held(c, sim.clock.now())), "by hand, too"
        told = [line for line in (tmp_path / "notifications.log").read_text().splitlines() if "undoing" in line]
        assert len(told) == 2

        await actions.give_back(services(sim), ANN, run.id, "mended", release=False)
        sim.clock.time += 2
        await sim.scheduler.settle()
        (run,) = await sim.executions()
        assert (run.state, sim.driver.value["edge"]) == (RunState.ROLLED_BACK, 0)


async def test_people_who_could_not_be_reached_are_told_once_they_can(tmp_path: Path) -> None:
    async with simulation(policy=Policy(ceiling="tier_3"), folder=tmp_path) as sim:  # type: ignore[arg-type]
        sim.measure(VERIFIED, "ingestion", "ccc")
        await sim.alert(VERIFIED, "ingestion")
        log = tmp_path / "notifications.log"
        log.unlink(missing_ok=True)
        log.mkdir()
        await sim.vote()
        assert (await sim.incident()).state is IncidentState.CONTAINED
        log.rmdir()
        for _ in range(3):
            sim.clock.time += 31
            await sim.scheduler.settle()
        told = [line for line in log.read_text().splitlines() if "is contained" in line]
        assert len(told) == 1
        assert (await sim.incident()).wake_at is None, "nothing is left to be done"
