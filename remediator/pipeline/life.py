"""An incident's life: one stage per state. Each takes a claimed incident and leaves it in its next state.

open ─> planning ─> waiting_approval ─> acting ─> verifying ─> closed (healed)
          │  ^             │                         │
          │  └── cooling <─┴──── the next candidate <┘        contained, escalated, blind, suspended
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from catalog.model import IfIneffective, MetricCatalogEntry, PlaybookDefinition, Release, Response, VerifiedBy
from remediator import crash
from remediator.errors import GraceError, Transient
from remediator.governance.facts import Evidence
from remediator.governance.verdict import Decision, Verdict
from remediator.ledger import approvals, incidents, runs, snapshots
from remediator.ledger.engine import Tx
from remediator.ledger.runs import TargetBusy
from remediator.model import Approval, Incident, IncidentState, Outcome, Plan, Run, RunState, new_id
from remediator.pipeline import act, people, precondition, standing
from remediator.pipeline.decide import Judged, approvals_given, judge, reasons_of, record, shadowed, transient, why
from remediator.pipeline.look import Look, healed, look, shown, since, summary, verify_time
from remediator.pipeline.parts import Parts
from remediator.pipeline.plan import Unplannable, candidates, plan_of, records_of, render
from remediator.pipeline.subject import subject_of
from remediator.pipeline.waiting import not_begun, other_verdict

log = structlog.get_logger(__name__)

SLOWEST_POLL = 30.0
POLL_OF_ALL = 2.0
"""Seconds between two looks at plans that wait for approval, all of them together, where many wait."""


async def advance(parts: Parts, incident: Incident) -> None:
    """Do what the incident's state asks for. Raises LeaseLost when the claim is gone."""
    metric = subject_of(parts.catalog, incident.metric_id, incident.labels)
    if metric is None:
        await _escalate(parts, incident, f"the catalog no longer knows {incident.metric_id}")
        return
    await STAGES[incident.state](parts, incident, metric)


# open, blind, suspended: is there still something to do?


async def opened(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Wait for its turn on the target, then plan; or see out an alert that has ended."""
    if not incident.firing:
        await _see_out(parts, incident, metric)
        return
    other = await parts.ledger.read(lambda connection: incidents.busy_with_target(connection, incident))
    if other is not None:
        await _stay(parts, incident, metric, f"{other} is being handled on the same target")
        return
    await _move(parts, incident, IncidentState.PLANNING, "its turn", wake_in=0)


async def blind(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """The alert went away without proof: closed by fresh good measurements, reopened by a new alert."""
    if incident.firing:
        await _move(parts, incident, IncidentState.OPEN, "the alert fires again", wake_in=0)
        return
    seen = await look(parts, metric, incident.resource, incident.band)
    if seen.good:
        await _close(parts, incident, Outcome.SELF_RESOLVED, "the last three measurements are good")
        return
    await _tell_once(parts, incident, f"{_name(incident)} is blind: {incident.reason}")
    await _stay(parts, incident, metric, incident.reason)


async def suspended(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Silenced: nothing is done until the reconciler says that the silence ended."""
    if not incident.firing:
        await _move(parts, incident, IncidentState.OPEN, "the alert ended while it was silenced", wake_in=0)
        return
    await _stay(parts, incident, metric, incident.reason)


async def _see_out(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """The alert has ended. Fresh good measurements close the incident; without any it goes blind."""
    seen = await look(parts, metric, incident.resource, incident.band)
    if seen.good:
        await _close(parts, incident, Outcome.SELF_RESOLVED, "the last three measurements are good")
        return
    patience = incident.last_notice_at + verify_time(metric)
    if parts.clock.now() < patience:
        await _stay(parts, incident, metric, "the alert ended; waiting for good measurements")
        return
    await _move(
        parts,
        incident,
        IncidentState.BLIND,
        f"the alert ended without fresh good measurements ({seen.note})",
        wake_in=0,
    )


# planning: find the first candidate that may run.


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
        await _move(parts, incident, IncidentState.OPEN, "the alert ended", wake_in=0)
        return
    seen = await look(parts, metric, incident.resource, incident.band)
    past, records = await parts.ledger.read(
        lambda connection: (
            runs.of_incident(connection, incident.id),
            records_of(connection, parts, incident.band, metric),
        )
    )
    for stranded in (run for run in past if run.state is RunState.HELD):
        await _void(parts, incident, stranded, "the incident is judged afresh")
    refused: list[Considered] = []
    told = False
    for response in candidates(parts, metric, incident, seen.side, past, records):
        if response.kind == "tell":
            await _tell_group(parts, incident, response, seen)
            told = True
            continue
        if response.kind == "escalate":
            await _note_refusals(parts, incident, refused, seen)
            await _escalate(parts, incident, f"the catalog asks for a person: {seen.note}")
            return
        considered = await _consider(parts, incident, parts.catalog.playbooks[response.name], seen)
        if considered is None:
            return
        refused.append(considered)
    if told and not refused:
        await _stay(parts, incident, metric, f"people were told: {seen.note}")
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
            _begin(tx, parts, incident, run_id, decision, judged, playbook)
        else:
            _create(tx, incident, considered, plan, seen, RunState.HELD)
            _ask(tx, parts, incident, run_id, plan, judged)
        _snapshot(tx, incident, run_id, "before", seen.snapshot)
        return None

    try:
        left = await parts.ledger.write(decide)
    except TargetBusy:
        await _move(parts, incident, IncidentState.COOLING, "another run has just taken the target", wake_in=1.0)
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


def _begin(
    tx: Tx,
    parts: Parts,
    incident: Incident,
    run_id: str,
    decision: Decision,
    judged: Judged,
    playbook: PlaybookDefinition,
) -> None:
    """The run begins: it has its target to itself from here on."""
    words = [reason.value for reason in decision.reasons]
    runs.move(
        tx,
        run_id,
        RunState.RUNNING,
        started_at=tx.now,
        verdict=decision.verdict.value,
        reasons=words,
        confidence=judged.confidence,
    )
    incidents.move(
        tx,
        incident,
        IncidentState.ACTING,
        reason=f"running {playbook.id}",
        wake_at=tx.now,
        verdict=decision.verdict.value,
        reasons=words,
        decided="",
    )
    tx.on_commit.append(parts.wake)
    tx.on_commit.append(lambda: parts.publish("run", run_id))


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


def _snapshot(tx: Tx, incident: Incident, run_id: str, moment: str, body: Mapping[str, Any]) -> None:
    snapshots.keep(
        tx,
        incident_id=incident.id,
        run_id=run_id,
        moment=moment,
        metric_id=incident.metric_id,
        resource=incident.resource,
        body=dict(body),
    )


async def _nothing_runs(
    parts: Parts, incident: Incident, metric: MetricCatalogEntry, refused: list[Considered], seen: Look
) -> None:
    """No candidate may run: wait for what passes by itself, else a person is wanted."""
    await _note_refusals(parts, incident, refused, seen)
    passing = [each for each in refused if transient(each.decision)]
    if not passing:
        reason = "; ".join(f"{each.playbook.id}: {_why(each)}" for each in refused) or "no playbook is left to try"
        await _escalate(parts, incident, reason)
        return
    now = parts.clock.now()
    known = [each.decision.retry_at for each in passing if each.decision.retry_at is not None]
    soonest = min([*known, now + min(metric.interval, SLOWEST_POLL)])
    reason = "; ".join(f"{each.playbook.id}: {_why(each)}" for each in passing)
    await _move(parts, incident, IncidentState.COOLING, reason, wake_in=max(1.0, soonest - now))


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


# waiting_approval


async def waiting(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """A plan waits for people, and is judged again meanwhile: allowed now, it runs; in another world, it is void."""
    past = await parts.ledger.read(lambda connection: runs.of_incident(connection, incident.id))
    held = next((run for run in reversed(past) if run.state is RunState.HELD), None)
    approval = None
    if held is not None:
        held_id = held.id
        approval = await parts.ledger.read(lambda connection: approvals.of_run(connection, held_id))
    if held is None or approval is None:
        await _move(parts, incident, IncidentState.PLANNING, "nothing waits any more", wake_in=0)
        return
    now = parts.clock.now()
    if approval.status == "rejected":
        await _drop(parts, incident, held, approval, RunState.CANCELLED, approval.reason)
    elif approval.status == "pending" and approval.expires_at <= now:
        await _drop(parts, incident, held, approval, RunState.EXPIRED, "nobody approved it in time")
    elif approval.status == "void":
        await _drop(parts, incident, held, approval, RunState.REFUSED, approval.reason)
    else:
        await _judge_again(parts, incident, metric, held, approval)


async def _judge_again(
    parts: Parts, incident: Incident, metric: MetricCatalogEntry, held: Run, approval: Approval
) -> None:
    pending = approval.status == "pending"
    seen = await look(parts, metric, incident.resource, incident.band)
    moot = _moot(incident, metric, held, seen, pending=pending)
    if moot is not None:
        await _drop(parts, incident, held, approval, RunState.REFUSED, moot)
        return
    if pending and parts.clock.now() < held.created_at + metric.interval:
        await _remind(parts, incident, metric, held, approval)
        return
    playbook = parts.catalog.playbooks[held.playbook_id]
    try:
        fallen = await standing.fallen(parts, playbook, held, target_name=incident.target, resource=incident.resource)
    except Transient as passing:
        await _wait_on(parts, incident, metric, held, approval, f"its target cannot be seen now: {passing}")
        return
    if fallen is not None:
        await _drop(parts, incident, held, approval, RunState.REFUSED, fallen)
        return
    plan = plan_of(held, playbook)
    holds = await precondition.ask(parts, playbook.precondition)

    def decide(tx: Tx) -> Judged:
        given = approvals_given(tx.connection, held)
        judged = judge(
            tx,
            parts,
            playbook,
            plan,
            incident=incident,
            evidence=seen.evidence,
            share=seen.share,
            approvals_given=given,
            own_run=held.id,
            precondition=holds,
        )
        if judged.decision.verdict is Verdict.ALLOW:
            record(
                tx,
                incident=incident,
                run_id=held.id,
                playbook=playbook,
                plan=plan,
                judged=judged,
                evidence=seen.evidence,
                note=seen.note,
            )
            if pending:
                approvals.settle(tx, approval, "void", "no longer needed: the plan is allowed now")
            _begin(tx, parts, incident, held.id, judged.decision, judged, playbook)
        return judged

    try:
        judged = await parts.ledger.write(decide)
    except TargetBusy:
        await _wait_on(parts, incident, metric, held, approval, "another run has the target")
        return
    if judged.decision.verdict is Verdict.ALLOW:
        crash.point("after_decision")
        return
    other = other_verdict(judged, approval)
    if other is not None:
        await _drop(parts, incident, held, approval, RunState.REFUSED, other)
        return
    await _wait_on(parts, incident, metric, held, approval, why(judged.decision))


def _moot(incident: Incident, metric: MetricCatalogEntry, held: Run, seen: Look, *, pending: bool) -> str | None:
    """Why a plan that waits is no answer to its incident any more; None while it is one."""
    if not incident.firing and seen.evidence is not Evidence.CONFIRMED:
        return "the metric is good again" if seen.good else "the alert has ended"
    offered = [each.name for each in metric.responses(incident.band, seen.side or metric_side(metric))]
    if held.playbook_id not in offered:
        return f"the incident is {incident.band.value} now, where the catalog does not offer this playbook"
    if not pending and held.evidence == Evidence.CONFIRMED.value and seen.good:
        return "the metric is good again"
    return None


async def _wait_on(
    parts: Parts, incident: Incident, metric: MetricCatalogEntry, held: Run, approval: Approval, reason: str
) -> None:
    """It may not run now. What was approved begins before the approval expires, or it is planned again."""
    if approval.status == "pending":
        await _remind(parts, incident, metric, held, approval)
    elif approval.expires_at <= parts.clock.now():
        late = f"approved, but it could not begin before the approval expired: {reason}"
        await _drop(parts, incident, held, approval, RunState.REFUSED, late)
    else:
        await _stay(parts, incident, metric, f"approved, and waiting: {reason}")


def metric_side(metric: MetricCatalogEntry) -> Any:
    """The only bad side of a one-sided metric; None for a two-sided one."""
    if metric.bands.high is not None and metric.bands.low is not None:
        return None
    return "high" if metric.bands.high is not None else "low"


async def _remind(parts: Parts, incident: Incident, metric: MetricCatalogEntry, held: Run, approval: Approval) -> None:
    await people.tell(
        parts,
        f"{approval.id}:asked",
        f"{_name(incident)}: {held.playbook_id} on {held.target} needs {approval.needed} approval(s) "
        f"({', '.join(held.reasons)}). Approve with: grace approvals approve {approval.id} --reason …",
        incident,
    )
    # A vote, an ended alert and the expiry wake it anyway; looking meanwhile must not cost more the more there wait.
    waiting = await parts.ledger.read(approvals.pending_count)
    pause = max(min(metric.interval, SLOWEST_POLL), waiting * POLL_OF_ALL)
    poll = min(pause, max(0.5, approval.expires_at - parts.clock.now()))
    await _move(parts, incident, IncidentState.WAITING_APPROVAL, incident.reason, wake_in=poll)


async def _void(parts: Parts, incident: Incident, held: Run, reason: str) -> None:
    """End a held plan that nobody waits for any more (its incident was silenced meanwhile)."""
    approval = await parts.ledger.read(lambda connection: approvals.of_run(connection, held.id))
    if approval is not None:
        await _tell_void(parts, incident, held, approval, reason)

    def store(tx: Tx) -> None:
        if approval is not None:
            approvals.void(tx, approval, reason)
        runs.move(tx, held.id, RunState.REFUSED, reason=reason)

    await parts.ledger.write(store)


async def _drop(parts: Parts, incident: Incident, held: Run, approval: Approval, state: RunState, reason: str) -> None:
    """The held plan ends without having run; the incident is planned and decided again, or seen out."""
    following = IncidentState.PLANNING if incident.firing else IncidentState.OPEN
    if state is RunState.REFUSED:
        await _tell_void(parts, incident, held, approval, reason)

    def store(tx: Tx) -> None:
        if state is RunState.EXPIRED:
            approvals.settle(tx, approval, "expired", reason)
        else:
            approvals.void(tx, approval, reason)
        runs.move(tx, held.id, state, reason=reason)
        incidents.move(tx, incident, following, reason=reason, wake_at=tx.now)
        tx.on_commit.append(parts.wake)
        tx.on_commit.append(lambda: parts.publish("approval", approval.id))

    await parts.ledger.write(store)


async def _tell_void(parts: Parts, incident: Incident, held: Run, approval: Approval, reason: str) -> None:
    await people.tell(
        parts,
        f"{approval.id}:void",
        f"{_name(incident)}: the approval {approval.id} of {held.playbook_id} on {held.target} is void, nothing was "
        f"done: {reason}. The incident is judged again.",
        incident,
    )


# acting


async def acting(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Do the run's steps; then verification, the next candidate, or containment."""
    run = await _active_run(parts, incident)
    if run is None:
        await _move(parts, incident, IncidentState.PLANNING, "no run is going any more", wake_in=0)
        return
    playbook = parts.catalog.playbooks.get(run.playbook_id)
    if playbook is None:
        await _failed(parts, incident, run, f"the catalog no longer knows {run.playbook_id}", undo=False)
        return
    if run.state is RunState.UNDOING:
        await _take_back(parts, incident, run)
        return
    try:
        failed = await act.execute(parts, run, incident.resource, incident)
    except act.Stopped as stopped:
        await _stay(parts, incident, metric, str(stopped))
        return
    except act.Changed as changed:
        await _not_begun(parts, incident, run, str(changed), undo=playbook.if_ineffective is IfIneffective.UNDO)
        return
    if failed is not None:
        await _failed(parts, incident, run, failed.error, undo=playbook.if_ineffective is IfIneffective.UNDO)
        return
    await _acted(parts, incident, metric, run, playbook)


async def _not_begun(parts: Parts, incident: Incident, run: Run, reason: str, *, undo: bool) -> None:
    """The world is another one than the plan was made for. Nothing was done yet: planned again, as if never begun."""
    journal = await parts.ledger.read(lambda connection: runs.steps_of(connection, run.id))
    if journal:
        await _failed(parts, incident, run, reason, undo=undo)
        return
    approval = await parts.ledger.read(lambda connection: approvals.of_run(connection, run.id))
    if approval is not None:
        await _tell_void(parts, incident, run, approval, reason)

    def store(tx: Tx) -> None:
        not_begun(tx, run, approval, reason)
        incidents.move(tx, incident, IncidentState.PLANNING, reason=reason, wake_at=tx.now)
        tx.on_commit.append(parts.wake)
        tx.on_commit.append(lambda: parts.publish("run", run.id))

    await parts.ledger.write(store)


async def _acted(
    parts: Parts, incident: Incident, metric: MetricCatalogEntry, run: Run, playbook: PlaybookDefinition
) -> None:
    def store(tx: Tx) -> None:
        if playbook.verified_by is VerifiedBy.METRIC:
            until = tx.now + verify_time(metric)
            runs.move(tx, run.id, RunState.VERIFYING, acted_at=tx.now, verify_until=until)
            incidents.move(
                tx,
                incident,
                IncidentState.VERIFYING,
                reason=f"{playbook.id} done; watching {metric.id}",
                wake_at=tx.now + metric.interval,
            )
        elif playbook.verified_by is VerifiedBy.EFFECT:
            runs.move(tx, run.id, RunState.EFFECTIVE, acted_at=tx.now, reason="its effect was read back")
            incidents.move(
                tx, incident, IncidentState.PLANNING, reason=f"{playbook.id} done; the next candidate", wake_at=tx.now
            )
        else:
            runs.move(tx, run.id, RunState.CONTAINED, acted_at=tx.now, kept=1, reason="the change was read back")
            incidents.move(
                tx,
                incident,
                IncidentState.CONTAINED,
                reason=f"contained by {playbook.id} until a person releases it: grace runs release {run.id} --reason …",
                wake_at=tx.now,
            )
        tx.on_commit.append(parts.wake)
        tx.on_commit.append(lambda: parts.publish("run", run.id))

    await parts.ledger.write(store)


async def _failed(parts: Parts, incident: Incident, run: Run, error: str, *, undo: bool) -> None:
    """A step failed: what was done is taken back where the playbook says so, and the next candidate is judged."""
    done = any(step.state == "done" for step in await parts.ledger.read(lambda c: runs.steps_of(c, run.id)))
    if undo and done:
        await parts.ledger.write(lambda tx: runs.move(tx, run.id, RunState.UNDOING, reason=error))
        await _move(parts, incident, IncidentState.ACTING, f"undoing {run.playbook_id}: {error}", wake_in=0)
        return

    def store(tx: Tx) -> None:
        runs.move(tx, run.id, RunState.FAILED, reason=error, kept=int(done))
        incidents.move(
            tx, incident, IncidentState.PLANNING, reason=f"{run.playbook_id} failed: {error}", wake_at=tx.now
        )
        tx.on_commit.append(parts.wake)

    await parts.ledger.write(store)


async def _take_back(parts: Parts, incident: Incident, run: Run) -> None:
    """Undo a run that failed or did not help; an undo that fails holds the target and calls a person."""
    failed = await act.undo(parts, run, incident.resource, incident)

    def store(tx: Tx) -> None:
        if failed is None:
            runs.move(tx, run.id, RunState.ROLLED_BACK, kept=0)
            incidents.move(
                tx,
                incident,
                IncidentState.PLANNING,
                reason=f"{run.playbook_id} was undone: {run.reason}",
                wake_at=tx.now,
            )
        else:
            runs.move(tx, run.id, RunState.UNDO_FAILED, reason=failed.error)
            act.hold_target(tx, run, failed.error)
            incidents.move(
                tx,
                incident,
                IncidentState.ESCALATED,
                reason=f"undoing {run.playbook_id} on {run.target} failed, the target is held: {failed.error}",
                wake_at=tx.now,
            )
        tx.on_commit.append(parts.wake)
        tx.on_commit.append(lambda: parts.publish("run", run.id))

    await parts.ledger.write(store)


# verifying


async def verifying(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Watch the metric that raised the alert, by the measurements after the change."""
    run = await _active_run(parts, incident)
    if run is None or run.acted_at is None or run.verify_until is None:
        await _move(parts, incident, IncidentState.PLANNING, "no run is being verified any more", wake_in=0)
        return
    now = parts.clock.now()
    try:
        measured = await since(parts, metric, incident.resource, run.acted_at)
    except GraceError as error:
        if now < run.verify_until:
            await _stay(parts, incident, metric, f"cannot verify yet: {error}")
        else:
            await _unverified(parts, incident, run, f"Prometheus could not be asked: {error}")
        return
    if run.evidence == "absent" and healed(metric, measured, incident.opened_band):
        # It was good before, too: nothing was proven, and nobody is to learn from it.
        await _unverified(parts, incident, run, "the metric was good before the run", alarming=False)
    elif healed(metric, measured, incident.opened_band):
        await _healed(parts, incident, metric, run, measured)
    elif now < run.verify_until:
        last = shown(metric, measured[-1].value) if measured else "no measurement yet"
        await _stay(parts, incident, metric, f"watching {metric.id} after {run.playbook_id}: {last}")
    elif not measured or measured[-1].at < now - 2.5 * metric.interval:
        await _unverified(parts, incident, run, "no fresh measurement after the change")
    else:
        await _ineffective(parts, incident, metric, run, measured)


async def _healed(parts: Parts, incident: Incident, metric: MetricCatalogEntry, run: Run, measured: Any) -> None:
    playbook = parts.catalog.playbooks[run.playbook_id]
    kept = playbook.release is not Release.NEVER
    body = summary(metric, measured)

    def store(tx: Tx) -> None:
        release_at = tx.now + parts.policy.release_after if playbook.release is Release.STEPWISE else None
        _snapshot(tx, incident, run.id, "after", body)
        runs.move(tx, run.id, RunState.HEALED, kept=int(kept), release_at=release_at, reason="the metric is good again")
        incidents.move(
            tx,
            incident,
            IncidentState.CLOSED,
            reason=f"healed by {run.playbook_id}: the metric is {shown(metric, measured[-1].value)}",
            wake_at=None,
            outcome=Outcome.HEALED,
        )
        _free(tx, parts, incident)
        tx.on_commit.append(lambda: parts.publish("run", run.id))

    await parts.ledger.write(store)
    crash.point("after_verify")
    log.info("healed", incident_id=incident.id, run_id=run.id, playbook=run.playbook_id)


async def _ineffective(parts: Parts, incident: Incident, metric: MetricCatalogEntry, run: Run, measured: Any) -> None:
    playbook = parts.catalog.playbooks[run.playbook_id]
    reason = f"{run.playbook_id} did not help: the metric is {shown(metric, measured[-1].value)}"
    body = summary(metric, measured)
    undo = playbook.if_ineffective is IfIneffective.UNDO

    def store(tx: Tx) -> None:
        _snapshot(tx, incident, run.id, "after", body)
        kept = int(not undo and playbook.release is not Release.NEVER)
        state = RunState.UNDOING if undo else RunState.INEFFECTIVE
        release_at = tx.now + parts.policy.release_after if kept else None
        runs.move(tx, run.id, state, reason=reason, kept=kept, release_at=release_at)
        # Undone in `acting`, where steps are done; else the next candidate.
        following = IncidentState.ACTING if undo else IncidentState.PLANNING
        incidents.move(tx, incident, following, reason=reason, wake_at=tx.now)
        tx.on_commit.append(parts.wake)
        tx.on_commit.append(lambda: parts.publish("run", run.id))

    await parts.ledger.write(store)


async def _unverified(parts: Parts, incident: Incident, run: Run, reason: str, *, alarming: bool = True) -> None:
    """No proof either way: never "healed". A person is told, unless the metric was good all along."""
    playbook = parts.catalog.playbooks.get(run.playbook_id)
    kept = int(playbook is not None and playbook.release is not Release.NEVER)

    def store(tx: Tx) -> None:
        release_at = tx.now + parts.policy.release_after if kept else None
        runs.move(tx, run.id, RunState.UNVERIFIED, reason=reason, kept=kept, release_at=release_at)
        if alarming:
            incidents.move(
                tx,
                incident,
                IncidentState.ESCALATED,
                reason=f"{run.playbook_id} could not be verified: {reason}",
                wake_at=tx.now,
            )
        else:
            incidents.move(
                tx, incident, IncidentState.CLOSED, reason=reason, wake_at=None, outcome=Outcome.SELF_RESOLVED
            )
            _free(tx, parts, incident)
        tx.on_commit.append(parts.wake)

    await parts.ledger.write(store)


# cooling, contained, escalated


async def cooling(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Waited long enough: judged afresh, without leaving the state until something may run."""
    other = await parts.ledger.read(lambda connection: incidents.busy_with_target(connection, incident))
    if other is not None:
        await _stay(parts, incident, metric, f"{other} is being handled on the same target")
        return
    await planning(parts, incident, metric)


async def contained(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Held where it is until a person releases it; a safety measure nobody confirmed in time calls people."""
    await _tell_once(parts, incident, f"{_name(incident)} is contained: {incident.reason}")
    past = await parts.ledger.read(lambda connection: runs.of_incident(connection, incident.id))
    run = next((each for each in reversed(past) if each.state is RunState.CONTAINED), None)
    playbook = parts.catalog.playbooks.get(run.playbook_id) if run else None
    if run is not None and playbook is not None and playbook.safety and run.acted_at is not None:
        confirm_by = run.acted_at + parts.policy.safety_confirm_within
        if parts.clock.now() >= confirm_by:
            await _escalate(parts, incident, f"{playbook.id} was not confirmed by a person in time; it stays")
            return
        await _move(parts, incident, IncidentState.CONTAINED, incident.reason, wake_in=confirm_by - parts.clock.now())
        return
    await _move(parts, incident, IncidentState.CONTAINED, incident.reason, wake_in=None)


async def escalated(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Stays open until it is resolved, by fresh good measurements after the alert's end, or closed by a person."""
    await _tell_once(parts, incident, f"{_name(incident)} needs a person: {incident.reason}")
    if not incident.firing:
        seen = await look(parts, metric, incident.resource, incident.band)
        if seen.good:
            await _close(parts, incident, Outcome.SELF_RESOLVED, "the last three measurements are good")
            return
    await _stay(parts, incident, metric, incident.reason)


# What stages share.


async def _active_run(parts: Parts, incident: Incident) -> Run | None:
    past = await parts.ledger.read(lambda connection: runs.of_incident(connection, incident.id))
    return next((run for run in past if run.state.active), None)


async def _move(parts: Parts, incident: Incident, state: IncidentState, reason: str, *, wake_in: float | None) -> None:
    def store(tx: Tx) -> None:
        wake_at = None if wake_in is None else tx.now + wake_in
        incidents.move(tx, incident, state, reason=reason, wake_at=wake_at)
        if wake_in is not None and wake_in <= 0:
            tx.on_commit.append(parts.wake)
        if state is not incident.state:
            tx.on_commit.append(lambda: parts.publish("incident", incident.id))

    await parts.ledger.write(store)


async def _stay(parts: Parts, incident: Incident, metric: MetricCatalogEntry, reason: str) -> None:
    await _move(parts, incident, incident.state, reason, wake_in=min(metric.interval, SLOWEST_POLL))


async def _close(parts: Parts, incident: Incident, outcome: Outcome, reason: str) -> None:
    def store(tx: Tx) -> None:
        incidents.move(tx, incident, IncidentState.CLOSED, reason=reason, wake_at=None, outcome=outcome)
        _free(tx, parts, incident)

    await parts.ledger.write(store)


def _free(tx: Tx, parts: Parts, incident: Incident) -> None:
    """Whoever waited for this incident's target is judged afresh."""
    if incident.target is not None:
        incidents.wake_for_target(tx, incident.target)
    tx.on_commit.append(parts.wake)
    tx.on_commit.append(lambda: parts.publish("incident", incident.id))


async def _escalate(parts: Parts, incident: Incident, reason: str) -> None:
    await _move(parts, incident, IncidentState.ESCALATED, reason, wake_in=0)


async def _tell_group(parts: Parts, incident: Incident, response: Response, seen: Look) -> None:
    occasion = f"{incident.id}:tell:{response.name}:{incident.band.value}"
    if await people.tell(parts, occasion, f"{response.name}: {_name(incident)}: {seen.note}", incident):
        await parts.ledger.write(
            lambda tx: _told(tx, incident, {"whom": response.name, "occasion": occasion, "note": seen.note})
        )


def _told(tx: Tx, incident: Incident, body: Mapping[str, Any]) -> None:
    tx.record("people_told", dict(body), incident_id=incident.id)


async def _tell_once(parts: Parts, incident: Incident, message: str) -> None:
    await people.tell(parts, f"{incident.id}:{incident.state.value}:{incident.changed_at:.3f}", message, incident)


def _name(incident: Incident) -> str:
    return f"{incident.metric_id} on {incident.resource} ({incident.band.value}, {incident.id})"


Stage = Callable[[Parts, Incident, MetricCatalogEntry], Awaitable[None]]

STAGES: Mapping[IncidentState, Stage] = {
    IncidentState.OPEN: opened,
    IncidentState.PLANNING: planning,
    IncidentState.WAITING_APPROVAL: waiting,
    IncidentState.ACTING: acting,
    IncidentState.VERIFYING: verifying,
    IncidentState.COOLING: cooling,
    IncidentState.CONTAINED: contained,
    IncidentState.BLIND: blind,
    IncidentState.SUSPENDED: suspended,
    IncidentState.ESCALATED: escalated,
}
