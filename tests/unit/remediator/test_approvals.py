"""An approval is for what was seen: another world, another verdict, or time, make it void, with a reason, told once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalog.inventory import Inventory
from catalog.model import Risk, Tier
from catalog.policy import Policy
from remediator.errors import Transient
from remediator.governance.facts import Settings
from remediator.ledger import approvals, incidents, settings
from remediator.ledger.engine import Tx
from remediator.model import IncidentState, Run, RunState
from remediator.pipeline import hand
from remediator.pipeline.decide import policy_version
from tests.unit.remediator.simulation import TARGETS, Simulation, simulation

CPU = "infra.cpu_utilization"
ASKS = Policy(ceiling="tier_1")  # type: ignore[arg-type]
"""A policy under which shift-load (tier_2) is asked for."""


async def asked(sim: Simulation) -> Run:
    """A plan that waits: shift-load on `edge`, from 0 to 1."""
    sim.measure(CPU, "api-1", "ccc")
    await sim.alert(CPU, "api-1")
    (held,) = await sim.plans()
    assert (held.state, held.playbook_id, held.target) == (RunState.HELD, "shift-load", "edge")
    return held


async def approve_quietly(sim: Simulation) -> None:
    """The vote as the API stores it; what comes of it is settled by the caller."""
    (one,) = await sim.parts.ledger.read(lambda c: approvals.listing(c, limit=9, states=("pending",)))

    def store(tx: Tx) -> None:
        approvals.vote(tx, one.id, name="ann", vote="approve", reason="looked at it")
        assert one.incident_id is not None
        incidents.wake(tx, one.incident_id)

    await sim.parts.ledger.write(store)


def told(sim: Simulation) -> list[str]:
    lines = (sim.parts.config.data_dir / "notifications.log").read_text().splitlines()
    return [line for line in lines if "is void" in line]


async def voids(sim: Simulation) -> list[dict[str, Any]]:
    return [body for kind, body in await sim.audit() if kind == "approval_void"]


async def test_what_was_changed_by_hand_after_planning_voids_what_was_approved() -> None:
    async with simulation(policy=ASKS) as sim:
        held = await asked(sim)
        sim.clock.time += 60
        sim.measure(CPU, "api-1", "cc")
        sim.driver.value["edge"] = 5
        await sim.vote()

        assert sim.driver.effects == []
        (void,) = await voids(sim)
        assert void["reason"] == "value of edge was 0 when the plan was made and is 5 now"
        first, second = await sim.plans()
        assert (first.id, first.state, first.started_at) == (held.id, RunState.REFUSED, None)
        assert second.state is RunState.HELD, "planned and decided again"
        assert second.plan[0].before == {"value": 5}
        assert second.digest != first.digest
        assert len(told(sim)) == 1
        assert "value of edge was 0" in told(sim)[0]

        await sim.vote()
        assert sim.driver.effects == [("edge", "shift", 6)], "the new plan is for what is there now"


async def test_a_target_that_is_already_as_planned_voids() -> None:
    async with simulation(policy=ASKS) as sim:
        await asked(sim)
        sim.driver.value["edge"] = 1
        await sim.vote()
        assert sim.driver.effects == []
        (void,) = await voids(sim)
        assert void["reason"] == "edge is already as the plan would make it"


async def test_what_the_steps_do_not_touch_may_change() -> None:
    async with simulation(policy=ASKS) as sim:
        await asked(sim)
        sim.driver.beside["load"] = 0.7
        sim.driver.value["workers"] = 9
        await sim.vote()
        assert sim.driver.effects == [("edge", "shift", 1)]
        assert await voids(sim) == []


async def test_between_the_verdict_and_a_late_act_the_target_is_compared_once_more() -> None:
    """Frozen right after it was allowed; thawed long after somebody else has changed the target."""
    async with simulation(policy=ASKS) as sim:
        await asked(sim)
        sim.driver.before_observing = [lambda: sim.clock.sleep(3), lambda: _freeze(sim)]
        await approve_quietly(sim)
        await sim.scheduler.settle()
        (run,) = await sim.executions()
        assert run.state is RunState.RUNNING, "begun, and held back by the freeze"
        assert sim.driver.effects == []

        sim.driver.value["edge"] = 7
        await sim.parts.ledger.write(lambda tx: settings.put(tx, {"frozen": False}, by="ann", reason="done"))
        sim.clock.time += 60
        sim.measure(CPU, "api-1", "cc")
        await sim.scheduler.settle()
        assert sim.driver.effects == [], "nothing was done"
        assert await sim.executions() == [], "it counts as never begun"
        first, second = await sim.plans()
        assert (first.state, second.state) == (RunState.REFUSED, RunState.HELD)
        (void,) = await voids(sim)
        assert "was 0 when the plan was made and is 7 now" in void["reason"]
        assert len(told(sim)) == 1


async def test_a_later_step_whose_target_has_changed_meanwhile_is_not_done_and_the_first_is_undone() -> None:
    async with simulation() as sim:
        shift, scale = (sim.parts.catalog.playbooks[name].steps[0] for name in ("shift-load", "scale-workers"))
        two = sim.parts.catalog.playbooks["shift-load"].model_copy(update={"steps": (shift, scale)})
        books = {**sim.parts.catalog.playbooks, "shift-load": two}
        sim.parts.catalog = sim.parts.catalog.model_copy(update={"playbooks": books})

        def meanwhile() -> None:
            sim.clock.time += 3
            sim.driver.value["api"] = 7

        # Two observations for the plan; the third reads back the first step.
        sim.driver.before_observing = [lambda: None, lambda: None, meanwhile]
        sim.measure(CPU, "api-1", "ccc")
        await sim.alert(CPU, "api-1")
        assert sim.driver.effects == [("edge", "shift", 1), ("edge", "shift", 0)]
        (run,) = await sim.executions()
        assert run.state is RunState.ROLLED_BACK
        assert sim.driver.value == {"edge": 0, "api": 7}, "what somebody else did stays"


async def _freeze(sim: Simulation) -> None:
    await sim.parts.ledger.write(lambda tx: settings.put(tx, {"frozen": True}, by="ann", reason="wait"))


@pytest.mark.parametrize("vote_first", [True, False])
async def test_a_policy_by_which_more_people_are_needed_voids_and_asks_again(vote_first: bool) -> None:
    async with simulation(policy=ASKS) as sim:
        await asked(sim)
        if vote_first:
            await approve_quietly(sim)
        sim.parts.policy = Policy(ceiling="tier_1", approvals={"tier_2": 2})  # type: ignore[arg-type]
        sim.clock.time += 31
        sim.measure(CPU, "api-1", "c")
        await sim.scheduler.settle()
        assert sim.driver.effects == []
        (void,) = await voids(sim)
        assert void["reason"].startswith("the policy has changed since it was asked, and 2 people must approve it now")
        assert (await sim.approval()).needed == 2
        assert len(told(sim)) == 1


async def test_a_policy_that_changes_nothing_about_the_verdict_voids_nothing() -> None:
    async with simulation(policy=ASKS) as sim:
        await asked(sim)
        before = (await sim.approval()).policy
        sim.parts.policy = Policy(ceiling="tier_1", approval_expiry=3600.0, strictness=1)  # type: ignore[arg-type]
        assert policy_version(sim.parts.policy, Settings.of(sim.parts.policy)) != before
        await sim.vote()
        assert sim.driver.effects == [("edge", "shift", 1)]


async def test_a_policy_that_denies_the_plan_voids_it() -> None:
    async with simulation(policy=ASKS) as sim:
        risky = sim.parts.catalog.playbooks["shift-load"].model_copy(update={"risk": Risk.HIGH})
        with_risk = {**sim.parts.catalog.playbooks, "shift-load": risky}
        sim.parts.catalog = sim.parts.catalog.model_copy(update={"playbooks": with_risk})
        await asked(sim)
        await sim.parts.ledger.write(lambda tx: settings.put(tx, {"strictness": 2}, by="ann", reason="careful"))
        await sim.vote()
        assert sim.driver.effects == []
        (void,) = await voids(sim)
        assert "it is denied now" in void["reason"]
        assert "high risk is denied at strictness 2" in void["reason"]


async def test_a_precondition_that_has_become_false_voids_and_one_that_cannot_be_asked_waits() -> None:
    async with simulation(policy=ASKS) as sim:
        careful = sim.parts.catalog.playbooks["shift-load"].model_copy(update={"precondition": "no_deploy"})
        books = {**sim.parts.catalog.playbooks, "shift-load": careful}
        sim.parts.catalog = sim.parts.catalog.model_copy(update={"playbooks": books})
        sim.prometheus.answers["no_deploy"] = 1.0
        await asked(sim)
        decision = next(body for kind, body in await sim.audit() if kind == "decision")
        assert decision["precondition"] == {"query": "no_deploy", "answer": "true"}

        sim.prometheus.answers["no_deploy"] = None
        await sim.go_on(CPU, "api-1", "cc")
        assert (await sim.approval()).status == "pending"
        sim.prometheus.answers["no_deploy"] = 0.0
        await sim.go_on(CPU, "api-1", "c")
        (void,) = await voids(sim)
        assert "precondition does not hold" in void["reason"]
        assert (await sim.incident()).state is IncidentState.ESCALATED, "no other candidate is possible"
        assert sim.driver.effects == []


async def test_an_alert_that_ends_voids_what_was_approved() -> None:
    async with simulation(policy=ASKS) as sim:
        await asked(sim)
        await approve_quietly(sim)
        del sim.prometheus.written[CPU, "api-1"]
        sim.measure(CPU, "api-1", "ggg")
        await sim.alert(CPU, "api-1", status="resolved")
        assert sim.driver.effects == []
        assert [body["reason"] for body in await voids(sim)] == ["the metric is good again"]
        assert (await sim.approval("void")).given == 1


async def test_what_cannot_be_seen_for_a_moment_waits_and_then_runs() -> None:
    async with simulation(policy=ASKS) as sim:
        await asked(sim)
        sim.driver.unseen = [Transient("busy")]
        await sim.vote()
        incident = await sim.incident()
        assert (incident.state, sim.driver.effects) == (IncidentState.WAITING_APPROVAL, [])
        assert "cannot be seen now: busy" in incident.reason
        await sim.go_on(CPU, "api-1", "c")
        assert sim.driver.effects == [("edge", "shift", 1)]


async def test_approved_and_held_back_it_begins_before_the_approval_expires_or_not_at_all() -> None:
    async with simulation(policy=ASKS) as sim:
        await asked(sim)
        await _freeze(sim)
        await sim.vote()
        assert (await sim.incident()).reason.startswith("approved, and waiting: everything is frozen")
        await sim.go_on(CPU, "api-1", "c" * 62)
        (void,) = await voids(sim)
        assert void["reason"].startswith("approved, but it could not begin before the approval expired")
        await sim.parts.ledger.write(lambda tx: settings.put(tx, {"frozen": False}, by="ann", reason="done"))
        await sim.go_on(CPU, "api-1", "c")
        assert sim.driver.effects == []
        assert (await sim.approval()).status == "pending", "asked again"


async def test_a_run_by_hand_is_bound_to_what_was_seen_too() -> None:
    async with simulation(policy=ASKS) as sim:
        for changed in (False, True):
            sim.driver.effects.clear()
            run_id = await hand.start(sim.parts, "scale-workers", "workers", by="ann", reason="more")
            if changed:
                sim.driver.value["workers"] = 5
            await sim.vote("bob")
            sim.clock.time += 2
            await sim.scheduler.settle()
            run = next(each for each in await sim.plans() if each.id == run_id)
            if changed:
                assert (run.state, sim.driver.effects) == (RunState.REFUSED, [])
                assert "value of workers was 1" in run.reason
                assert len(told(sim)) == 1
            else:
                assert (run.state, sim.driver.effects) == (RunState.EFFECTIVE, [("workers", "scale", 1)])
                sim.clock.time += 7200


async def test_a_run_by_hand_on_one_of_two_that_share_a_balancer_is_compared_with_its_own() -> None:
    async with simulation(policy=ASKS) as sim:
        shift, scale = (sim.parts.catalog.playbooks[name].steps[0] for name in ("shift-load", "scale-workers"))
        both = sim.parts.catalog.playbooks["shift-load"].model_copy(update={"id": "both", "steps": (shift, scale)})
        books = {**sim.parts.catalog.playbooks, "both": both}
        sim.parts.catalog = sim.parts.catalog.model_copy(update={"playbooks": books})
        twin = TARGETS["api"].model_copy(update={"name": "twin"})
        sim.parts.inventory = Inventory(targets={**TARGETS, "twin": twin})
        await hand.start(sim.parts, "both", "twin", by="ann", reason="more")
        await sim.vote("bob")
        sim.clock.time += 2
        await sim.scheduler.settle()
        assert sim.driver.effects == [("edge", "shift", 1), ("twin", "scale", 1)]


async def test_a_run_by_hand_for_which_more_people_are_needed_now_ends() -> None:
    async with simulation(policy=ASKS) as sim:
        run_id = await hand.start(sim.parts, "scale-workers", "workers", by="ann", reason="more")
        sim.parts.policy = Policy(ceiling="tier_1", approvals={"tier_2": 3})  # type: ignore[arg-type]
        await sim.vote("bob")
        run = next(each for each in await sim.plans() if each.id == run_id)
        assert run.state is RunState.REFUSED
        assert "3 people must approve it now, not 1" in run.reason
        assert sim.driver.effects == []


async def test_people_are_told_once_by_whichever_replica(tmp_path: Path) -> None:
    """Two replicas on one ledger, each with a data folder of its own."""
    from remediator.pipeline import people

    async with simulation(folder=tmp_path / "a") as one, simulation(folder=tmp_path / "b") as other:
        other.parts.ledger = one.parts.ledger
        assert await people.tell(one.parts, "inc_1:escalated", "look") is True
        assert await people.tell(other.parts, "inc_1:escalated", "look") is False
        assert await people.tell(other.parts, "inc_2:escalated", "look") is True
        assert await people.tell(one.parts, "inc_2:escalated", "look") is False
    books = [(tmp_path / name / "notifications.log").read_text().splitlines() for name in "ab"]
    assert [len(book) for book in books] == [1, 1]


def test_a_policy_version_is_that_of_everything_governance_goes_by() -> None:
    policy = Policy()
    version = policy_version(policy, Settings.of(policy))
    assert version == policy_version(Policy(), Settings.of(Policy()))
    others = [
        policy_version(Policy(strikes=4), Settings()),
        policy_version(policy, Settings(frozen=True)),
        policy_version(policy, Settings(ceiling=Tier.TIER_1)),
    ]
    assert len({version, *others}) == 4
