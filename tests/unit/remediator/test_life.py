"""An incident's life in a simulated world: the real ledger, pipeline, governance and audit; time moves when told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.policy import Policy
from remediator.errors import Permanent, Refused, Transient
from remediator.ledger import settings
from remediator.model import IncidentState, Outcome, RunState
from remediator.pipeline import hand
from tests.unit.remediator.simulation import simulation

CPU = "infra.cpu_utilization"
LATENCY = "api.latency_p95"
VERIFIED = "learning.sources_verified"


async def test_a_confirmed_critical_alert_is_healed() -> None:
    """The worked example: three of three critical, confidence 0.8, tier_2, allowed, verified by measurements."""
    async with simulation() as sim:
        sim.measure(CPU, "api-1", "gggccc")
        await sim.alert(CPU, "api-1")

        (run,) = await sim.executions()
        assert (run.playbook_id, run.target, run.verdict) == ("shift-load", "edge", "allow")
        assert run.confidence == pytest.approx(0.8)
        assert run.reasons == ("within_ceiling",)
        assert run.state is RunState.VERIFYING
        assert sim.driver.effects == [("edge", "shift", 1)]

        await sim.go_on(CPU, "api-1", "cgg")
        assert (await sim.incident()).state is IncidentState.VERIFYING, "two good measurements prove nothing yet"
        await sim.go_on(CPU, "api-1", "g")
        incident = await sim.incident()
        assert (incident.state, incident.outcome) == (IncidentState.CLOSED, Outcome.HEALED)
        (run,) = await sim.executions()
        assert run.state is RunState.HEALED
        assert run.kept
        kinds = [kind for kind, _ in await sim.audit() if kind not in ("incident_moved", "run_moved")]
        before, after = ["alert_received", "incident_opened", "decision", "snapshot"], ["snapshot"]
        assert kinds == [*before, "step_intended", "step_done", *after]


async def test_the_same_alert_twice_is_one_incident_and_one_run() -> None:
    async with simulation() as sim:
        sim.measure(CPU, "api-1", "ccc")
        began = sim.clock.now()
        assert await sim.alert(CPU, "api-1", started=began) == 1
        assert await sim.alert(CPU, "api-1", started=began) == 0
        assert len(await sim.incidents()) == 1
        assert len(sim.driver.effects) == 1


async def test_an_alert_that_prometheus_does_not_confirm_is_held_and_runs_once_when_approved() -> None:
    async with simulation() as sim:
        sim.measure(CPU, "api-1", "gggggg")
        await sim.alert(CPU, "api-1")
        incident = await sim.incident()
        assert incident.state is IncidentState.WAITING_APPROVAL
        assert "evidence_absent" in incident.reasons
        assert await sim.executions() == []
        assert sim.driver.effects == []

        assert (await sim.vote()).status == "approved"
        assert sim.driver.effects == [("edge", "shift", 1)]
        await sim.go_on(CPU, "api-1", "ggg")
        (run,) = await sim.executions()
        assert run.state is RunState.UNVERIFIED, "it was good before: nothing was proven"
        assert (await sim.incident()).outcome is Outcome.SELF_RESOLVED
        assert len(sim.driver.effects) == 1


async def test_a_rejected_plan_never_runs_and_a_person_is_wanted() -> None:
    async with simulation() as sim:
        sim.measure(CPU, "api-1", "gggggg")
        await sim.alert(CPU, "api-1")
        await sim.vote(vote="reject")
        assert sim.driver.effects == []
        incident = await sim.incident()
        assert incident.state is IncidentState.ESCALATED, "scale-nodes has no target, nothing else is left"
        assert "nodes" in incident.reason


async def test_one_person_votes_once() -> None:
    async with simulation(policy=Policy(approvals={"tier_1": 1, "tier_2": 1, "tier_3": 1, "tier_4": 2})) as sim:
        sim.measure(VERIFIED, "ingestion", "ccc")
        await sim.alert(VERIFIED, "ingestion")
        asked = await sim.approval()
        assert asked.needed == 2, "tier_3 above the ceiling tier_2"
        with pytest.raises(Refused, match="distinct people"):
            await sim.vote("ann")


async def test_an_effect_goes_along_with_the_next_candidate_which_contains() -> None:
    async with simulation(policy=Policy(ceiling="tier_3")) as sim:  # type: ignore[arg-type]
        sim.measure(VERIFIED, "ingestion", "ccc")
        await sim.alert(VERIFIED, "ingestion")
        (analysis,) = await sim.executions()
        assert (analysis.playbook_id, analysis.state) == ("run-trust-analysis", RunState.EFFECTIVE)
        asked = await sim.approval()
        assert (asked.needed, str(asked.tier)) == (1, "tier_3")
        assert sim.driver.value.get("ingestion", 0) == 0

        await sim.vote()
        assert sim.driver.value["ingestion"] == 1
        incident = await sim.incident()
        assert incident.state is IncidentState.CONTAINED
        await sim.alert(VERIFIED, "ingestion", status="resolved")
        assert (await sim.incident()).state is IncidentState.CONTAINED, "contained until a person releases it"

        pause = next(run for run in await sim.executions() if run.playbook_id == "stop-ingestion-cycle")
        await hand.ask_undo(sim.parts, pause.id, by="ann", reason="sources mended", release=True)
        await sim.scheduler.settle()
        assert sim.driver.value["ingestion"] == 0
        await sim.go_on(VERIFIED, "ingestion", "ggg")
        incident = await sim.incident()
        assert (incident.state, incident.outcome) == (IncidentState.CLOSED, Outcome.SELF_RESOLVED)


async def test_what_did_not_help_is_undone_and_the_next_candidate_waits_its_time() -> None:
    async with simulation() as sim:
        sim.measure(CPU, "api-1", "ccc")
        await sim.alert(CPU, "api-1")
        assert sim.driver.value["edge"] == 1
        await sim.go_on(CPU, "api-1", "c" * 15)
        (run,) = await sim.executions()
        assert run.state is RunState.ROLLED_BACK
        assert sim.driver.value["edge"] == 0, "shift-load is undone when it did not help"
        assert (await sim.incident()).state is IncidentState.ESCALATED


async def test_no_prometheus_after_the_change_is_unverified_never_healed() -> None:
    async with simulation() as sim:
        sim.measure(CPU, "api-1", "ccc")
        await sim.alert(CPU, "api-1")
        sim.prometheus.away = True
        await sim.go_on(CPU, "api-1", "x" * 16)
        (run,) = await sim.executions()
        assert run.state is RunState.UNVERIFIED
        incident = await sim.incident()
        assert incident.state is IncidentState.ESCALATED
        assert "could not be verified" in incident.reason


async def test_an_alert_that_ends_without_good_measurements_goes_blind() -> None:
    async with simulation() as sim:
        await sim.alert(CPU, "api-1")
        await sim.alert(CPU, "api-1", status="resolved")
        assert (await sim.approval("void")).reason == "the alert has ended"
        await sim.go_on(CPU, "api-1", "x" * 16)
        assert (await sim.incident()).state is IncidentState.BLIND
        await sim.go_on(CPU, "api-1", "ggg")
        assert (await sim.incident()).outcome is Outcome.SELF_RESOLVED


async def test_frozen_starts_nothing_and_thawed_it_runs() -> None:
    async with simulation() as sim:
        await sim.parts.ledger.write(lambda tx: settings.put(tx, {"frozen": True}, by="ann", reason="release day"))
        sim.measure(CPU, "api-1", "ccc")
        await sim.alert(CPU, "api-1")
        incident = await sim.incident()
        assert (incident.state, incident.reasons[0]) == (IncidentState.COOLING, "frozen")
        await sim.go_on(CPU, "api-1", "cc")
        assert sim.driver.effects == []
        decisions = [body for kind, body in await sim.audit() if kind == "decision"]
        assert len(decisions) == 2, "the same answer is recorded once, one per candidate"
        await sim.parts.ledger.write(lambda tx: settings.put(tx, {"frozen": False}, by="ann", reason="done"))
        await sim.go_on(CPU, "api-1", "c")
        assert sim.driver.effects == [("edge", "shift", 1)]


async def test_a_target_at_its_limit_gives_way_to_the_next_candidate() -> None:
    async with simulation() as sim:
        sim.driver.refuse.add("api")
        sim.measure(LATENCY, "api", "ccc")
        await sim.alert(LATENCY, "api")
        (run,) = await sim.executions()
        assert (run.playbook_id, run.target) == ("shift-load", "edge")
        refused = [
            body for kind, body in await sim.audit() if kind == "decision" and body["playbook"] == "scale-api-shard"
        ]
        assert refused == [] or "maximum" in refused[0]["why"]


async def test_a_passing_failure_is_tried_again_and_a_lasting_one_is_not() -> None:
    async with simulation() as sim:
        sim.driver.fail["edge"] = [Transient("busy"), Transient("busy")]
        sim.measure(CPU, "api-1", "ccc")
        await sim.alert(CPU, "api-1")
        assert sim.driver.effects == [("edge", "shift", 1)]
    async with simulation() as sim:
        sim.driver.fail["edge"] = [Permanent("no such backend")]
        sim.measure(CPU, "api-1", "ccc")
        await sim.alert(CPU, "api-1")
        (run,) = await sim.executions()
        assert run.state is RunState.FAILED
        assert "no such backend" in run.reason
        assert (await sim.incident()).state is IncidentState.ESCALATED


async def test_incidents_on_one_target_are_handled_one_at_a_time() -> None:
    async with simulation() as sim:
        sim.measure(LATENCY, "api", "ccc")
        sim.measure("api.saturation", "api", "ccc")
        await sim.alert(LATENCY, "api")
        await sim.alert("api.saturation", "api")
        assert len(await sim.executions()) == 1
        first, second = sorted(await sim.incidents(), key=lambda each: each.metric_id != LATENCY)
        assert first.state is IncidentState.VERIFYING
        assert second.state is IncidentState.OPEN
        assert first.id in second.reason


async def test_a_person_undoes_a_healed_run() -> None:
    async with simulation() as sim:
        sim.measure(CPU, "api-1", "ccc")
        await sim.alert(CPU, "api-1")
        await sim.go_on(CPU, "api-1", "ggg")
        (run,) = await sim.executions()
        await hand.ask_undo(sim.parts, run.id, by="ann", reason="capacity is back")
        await sim.scheduler.settle()
        (run,) = await sim.executions()
        assert (run.state, run.outcome, run.kept) == (RunState.ROLLED_BACK, "healed", False)
        assert sim.driver.value["edge"] == 0
        with pytest.raises(Refused):
            await hand.ask_undo(sim.parts, run.id, by="ann", reason="again", release=True)


async def test_what_healing_changed_is_given_back_after_its_time() -> None:
    async with simulation() as sim:
        sim.measure(CPU, "api-1", "ccc")
        await sim.alert(CPU, "api-1")
        await sim.go_on(CPU, "api-1", "ggg")
        assert sim.driver.value["edge"] == 1
        sim.clock.time += sim.parts.policy.release_after + 1
        sim.measure(CPU, "api-1", "ggg")
        await sim.scheduler.settle()
        assert sim.driver.value["edge"] == 0
        (run,) = await sim.executions()
        assert not run.kept
        assert "released" in [kind for kind, _ in await sim.audit()]


async def test_people_are_told_once_of_each_occasion(tmp_path: Path) -> None:
    async with simulation(folder=tmp_path) as sim:
        await sim.alert("infra.memory_utilization", "unknown-host")
        await sim.go_on("infra.memory_utilization", "unknown-host", "xxx")
        told = (tmp_path / "notifications.log").read_text().splitlines()
        assert len(told) == 1
        assert "needs a person" in told[0]


async def test_no_reason_is_ever_missing_and_the_log_is_whole(tmp_path: Path) -> None:
    async with simulation(folder=tmp_path) as sim:
        sim.measure(CPU, "api-1", "ccc")
        await sim.alert(CPU, "api-1")
        await sim.go_on(CPU, "api-1", "ggg")
        for kind, body in await sim.audit():
            if kind == "decision":
                assert body["reasons"]
                assert set(body["reasons"]) <= set(body["detail"])
        notes_before = (tmp_path / "checkpoints.log").read_text().count("grace/audit\n")
        assert notes_before >= 2, "signed before the effect"
