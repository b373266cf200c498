"""Planning: the first candidate that may run is found."""

from __future__ import annotations

from dataclasses import dataclass

from catalog.model import MetricCatalogEntry, PlaybookDefinition
from remediator import crash
from remediator.governance.verdict import Decision, Verdict
from remediator.ledger import approvals, incidents, runs
from remediator.ledger.engine import Tx
from remediator.ledger.runs import TargetBusy
from remediator.model import Incident, IncidentState, Plan, RunState, new_id
from remediator.pipeline import precondition
from remediator.pipeline.decide import Judged, judge, reasons_of, record, shadowed, transient, why
from remediator.pipeline.look import Look, look
from remediator.pipeline.parts import Parts
from remediator.pipeline.plan import Unplannable, candidates, records_of, render
from remediator.pipeline.stages.moves import (
    SLOWEST_POLL,
    begin,
    escalate,
    move,
    snapshot,
    stay,
    tell_group,
    void,
)


@dataclass(frozen=True, slots=True)
class Considered:
    """One candidate, planned and judged."""

    playbook: PlaybookDefinition
    plan: Plan | Unplannable
    judged: Judged
    run_id: str

    @property
    def decision(self) -> Decision:
        return self.judged.decision

    def line(self, plan: Plan | Unplannable) -> str:
        return f"{self.playbook.id}:{self.decision.verdict.value}:{','.join(reasons_of(self.decision, plan))}"


async def planning(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Judge the candidates in order: run the first that is allowed, ask for the first that people may allow."""
    if not incident.firing:
        await move(parts, incident, IncidentState.OPEN, "the alert ended", wake_in=0)
        return
    seen = await look(parts, metric, incident.resource, incident.band)
    past, records = await parts.ledger.glance(
        lambda connection: (
            runs.of_incident(connection, incident.id),
            records_of(connection, parts, incident.band, metric),
        )
    )
    for stranded in (run for run in past if run.state is RunState.HELD):
        await void(parts, incident, stranded, "the incident is judged afresh")
    refused: list[Considered] = []
    told = False
    for response in candidates(parts, metric, incident, seen.side, past, records):
        if response.kind == "tell":
            await tell_group(parts, incident, response, seen)
            told = True
            continue
        if response.kind == "escalate":
            await _note_refusals(parts, incident, refused, seen)
            await escalate(parts, incident, f"the catalog asks for a person: {seen.note}")
            return
        considered = await _consider(parts, incident, parts.catalog.playbooks[response.name], seen)
        if considered is None:
            return
        refused.append(considered)
    if told and not refused:
        await stay(parts, incident, metric, f"people were told: {seen.note}")
        return
    await _nothing_runs(parts, incident, metric, refused, seen)


async def _consider(parts: Parts, incident: Incident, playbook: PlaybookDefinition, seen: Look) -> Considered | None:
    """Plan and judge one candidate; None when the incident has moved on with it, else why it has not."""
    run_id = new_id("run", parts.clock.now())
    plan = await render(
        parts,
        playbook,
        target_name=incident.target,
        resource=incident.resource,
        run_id=run_id,
        created_at=parts.clock.now(),
        incident_id=incident.id,
    )

    holds = await precondition.ask(parts, playbook.precondition)

    def decide(tx: Tx) -> Considered | None:
        judged = judge(
            tx,
            parts,
            playbook,
            plan,
            incident=incident,
            evidence=seen.evidence,
            share=seen.share,
            precondition=holds,
        )
        considered = Considered(playbook, plan, judged, run_id)
        decision = judged.decision
        if not isinstance(plan, Plan) or decision.verdict is Verdict.DENY or transient(decision):
            return considered
        record(
            tx,
            incident=incident,
            run_id=run_id,
            playbook=playbook,
            plan=plan,
            judged=judged,
            evidence=seen.evidence,
            note=seen.note,
        )
        if decision.verdict is Verdict.ALLOW:
            _create(tx, incident, considered, plan, seen, RunState.PLANNED)
            begin(tx, parts, incident, run_id, decision, judged, playbook)
        else:
            _create(tx, incident, considered, plan, seen, RunState.HELD)
            _ask(tx, parts, incident, run_id, plan, judged)
        snapshot(tx, incident, run_id, "before", seen.snapshot)
        return None

    try:
        left = await parts.ledger.write(decide)
    except TargetBusy:
        await move(parts, incident, IncidentState.COOLING, "another run has just taken the target", wake_in=1.0)
        return None
    if left is None:
        crash.point("after_decision")
    return left


def _create(tx: Tx, incident: Incident, considered: Considered, plan: Plan, seen: Look, state: RunState) -> None:
    decision = considered.decision
    runs.create(
        tx,
        plan,
        incident_id=incident.id,
        state=state,
        verdict=decision.verdict.value,
        reasons=reasons_of(decision, plan),
        confidence=considered.judged.confidence,
        evidence=seen.evidence.value,
        by="grace",
        run_id=considered.run_id,
    )


def _ask(tx: Tx, parts: Parts, incident: Incident, run_id: str, plan: Plan, judged: Judged) -> None:
    decision = judged.decision
    expires = tx.now + parts.policy.approval_expiry
    approval_id = approvals.ask(
        tx,
        run_id=run_id,
        incident_id=incident.id,
        digest=plan.digest,
        policy=judged.policy,
        tier=plan.tier,
        needed=decision.approvals_needed,
        expires_at=expires,
    )
    words = reasons_of(decision, plan)
    incidents.move(
        tx,
        incident,
        IncidentState.WAITING_APPROVAL,
        reason=f"{plan.playbook_id} needs {decision.approvals_needed} approval(s): {', '.join(words)}",
        wake_at=tx.now,
        verdict=decision.verdict.value,
        reasons=list(words),
        decided="",
    )
    tx.on_commit.append(parts.wake)
    tx.on_commit.append(lambda: parts.publish("approval", approval_id))


async def _nothing_runs(
    parts: Parts, incident: Incident, metric: MetricCatalogEntry, refused: list[Considered], seen: Look
) -> None:
    """No candidate may run: wait for what passes by itself, else a person is wanted."""
    await _note_refusals(parts, incident, refused, seen)
    passing = [each for each in refused if transient(each.decision)]
    if not passing:
        reason = "; ".join(f"{each.playbook.id}: {_why(each)}" for each in refused) or "no playbook is left to try"
        await escalate(parts, incident, reason)
        return
    now = parts.clock.now()
    known = [each.decision.retry_at for each in passing if each.decision.retry_at is not None]
    soonest = min([*known, now + min(metric.interval, SLOWEST_POLL)])
    reason = "; ".join(f"{each.playbook.id}: {_why(each)}" for each in passing)
    await move(parts, incident, IncidentState.COOLING, reason, wake_in=max(1.0, soonest - now))


def _why(considered: Considered) -> str:
    return considered.plan.detail if isinstance(considered.plan, Unplannable) else why(considered.decision)


async def _note_refusals(parts: Parts, incident: Incident, refused: list[Considered], seen: Look) -> None:
    """Every verdict is recorded; the same answer twice in a row only once."""
    lines = "|".join(each.line(each.plan) for each in refused)
    if not refused or lines == incident.decided:
        return

    def store(tx: Tx) -> None:
        for each in refused:
            record(
                tx,
                incident=incident,
                run_id=None,
                playbook=each.playbook,
                plan=each.plan,
                judged=each.judged,
                evidence=seen.evidence,
                note=seen.note,
            )
            if isinstance(each.plan, Plan) and shadowed(each.decision):
                runs.create(
                    tx,
                    each.plan,
                    incident_id=incident.id,
                    state=RunState.SHADOW,
                    verdict=each.decision.verdict.value,
                    reasons=reasons_of(each.decision, each.plan),
                    confidence=each.judged.confidence,
                    evidence=seen.evidence.value,
                    by="grace",
                    run_id=each.run_id,
                )
        first = refused[0]
        incidents.set_fields(
            tx,
            incident.id,
            decided=lines,
            verdict=first.decision.verdict.value,
            reasons=list(reasons_of(first.decision, first.plan)),
        )

    await parts.ledger.write(store)
