"""Waiting for approval: the plan is judged again meanwhile, and ends when it no longer stands."""

from __future__ import annotations

from typing import Any

from catalog.model import MetricCatalogEntry
from remediator import crash
from remediator.errors import Transient
from remediator.governance.facts import Evidence
from remediator.governance.verdict import Verdict
from remediator.ledger import approvals, incidents, runs
from remediator.ledger.engine import Tx
from remediator.ledger.runs import TargetBusy
from remediator.model import Approval, Incident, IncidentState, Run, RunState
from remediator.pipeline import people, precondition, standing
from remediator.pipeline.decide import Judged, approvals_given, judge, record, why
from remediator.pipeline.look import Look, look
from remediator.pipeline.parts import Parts
from remediator.pipeline.plan import plan_of
from remediator.pipeline.stages.moves import (
    SLOWEST_POLL,
    begin,
    move,
    stay,
    tell_void,
    title,
)
from remediator.pipeline.waiting import other_verdict

POLL_OF_ALL = 2.0
"""Seconds between two looks at plans that wait for approval, all of them together, where many wait."""


async def waiting(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """A plan waits for people, and is judged again meanwhile: allowed now, it runs; in another world, it is void."""
    past = await parts.ledger.glance(lambda connection: runs.of_incident(connection, incident.id))
    held = next((run for run in reversed(past) if run.state is RunState.HELD), None)
    approval = None
    if held is not None:
        held_id = held.id
        approval = await parts.ledger.glance(lambda connection: approvals.of_run(connection, held_id))
    if held is None or approval is None:
        await move(parts, incident, IncidentState.PLANNING, "nothing waits any more", wake_in=0)
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
            begin(tx, parts, incident, held.id, judged.decision, judged, playbook)
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
        await stay(parts, incident, metric, f"approved, and waiting: {reason}")


def metric_side(metric: MetricCatalogEntry) -> Any:
    """The only bad side of a one-sided metric; None for a two-sided one."""
    if metric.bands.high is not None and metric.bands.low is not None:
        return None
    return "high" if metric.bands.high is not None else "low"


async def _remind(parts: Parts, incident: Incident, metric: MetricCatalogEntry, held: Run, approval: Approval) -> None:
    await people.tell(
        parts,
        f"{approval.id}:asked",
        f"{title(incident)}: {held.playbook_id} on {held.target} needs {approval.needed} approval(s) "
        f"({', '.join(held.reasons)}). Approve with: grace approvals approve {approval.id} --reason … "
        f"or at {parts.config.remediator_url.rstrip('/')}/approvals/{approval.id}",
        incident,
    )
    # A vote, an ended alert and the expiry wake it anyway; looking meanwhile must not cost more the more there wait.
    waiting = await parts.ledger.read(approvals.pending_count)
    pause = max(min(metric.interval, SLOWEST_POLL), waiting * POLL_OF_ALL)
    poll = min(pause, max(0.5, approval.expires_at - parts.clock.now()))
    await move(parts, incident, IncidentState.WAITING_APPROVAL, incident.reason, wake_in=poll)


async def _drop(parts: Parts, incident: Incident, held: Run, approval: Approval, state: RunState, reason: str) -> None:
    """The held plan ends without having run; the incident is planned and decided again, or seen out."""
    following = IncidentState.PLANNING if incident.firing else IncidentState.OPEN
    if state is RunState.REFUSED:
        await tell_void(parts, incident, held, approval, reason)

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
