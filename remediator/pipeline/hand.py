"""What people start: a run by hand, an undo, a release, a cancellation. Same governance, journal and audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from catalog.model import IfIneffective, PlaybookDefinition, VerifiedBy
from remediator.drivers import builtin_driver
from remediator.errors import GraceError, Refused
from remediator.governance.facts import Evidence, Purpose
from remediator.governance.verdict import Decision, Reason, Verdict
from remediator.ledger import approvals, incidents, runs
from remediator.ledger.engine import Tx
from remediator.ledger.runs import TargetBusy
from remediator.model import Approval, Incident, IncidentState, Plan, PlannedStep, Run, RunState, Step, new_id
from remediator.pipeline import act, people, precondition, standing
from remediator.pipeline.decide import Judged, approvals_given, judge, reasons_of, record, why
from remediator.pipeline.lasting import way_back
from remediator.pipeline.parts import Parts
from remediator.pipeline.plan import context_for, plan_of, render, target_of_step
from remediator.pipeline.precondition import Answer
from remediator.pipeline.waiting import not_begun, other_verdict

log = structlog.get_logger(__name__)

GIVEN_BACK = "given back by a person"
PEOPLES = frozenset({Reason.TIER_NEEDS_APPROVAL, Reason.TIER_ABOVE_CEILING, Reason.SUPERVISED})
"""What holds a release for as long as people say nothing: it does not pass by itself."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a playbook would do to a target now, and the verdict it would get."""

    playbook: PlaybookDefinition
    plan: Plan
    decision: Decision
    confidence: float


async def rehearse(parts: Parts, playbook_id: str, target_name: str) -> Rehearsal:
    """Plan and judge without doing anything. Raises Refused when there is no such playbook or target, or no plan."""
    playbook, plan = await _planned(parts, playbook_id, target_name, new_id("run", parts.clock.now()))
    holds = await precondition.ask(parts, playbook.precondition)

    def decide(tx: Tx) -> Rehearsal:
        judged = _judge(tx, parts, playbook, plan, holds)
        return Rehearsal(playbook, plan, judged.decision, judged.confidence)

    return await parts.ledger.write(decide)


async def start(
    parts: Parts,
    playbook_id: str,
    target_name: str,
    *,
    by: str,
    reason: str,
    check: Callable[[Plan], None] = lambda plan: None,
) -> str:
    """Start a playbook by hand, or hold it for approval; the run's id.

    `check` sees the plan first, and raises Refused where this person may not act on its target. Raises Refused when
    governance denies it, too.
    """
    run_id = new_id("run", parts.clock.now())
    playbook, plan = await _planned(parts, playbook_id, target_name, run_id)
    check(plan)
    holds = await precondition.ask(parts, playbook.precondition)

    def decide(tx: Tx) -> tuple[Verdict, str]:
        judged = _judge(tx, parts, playbook, plan, holds)
        decision = judged.decision
        record(
            tx,
            incident=None,
            run_id=run_id,
            playbook=playbook,
            plan=plan,
            judged=judged,
            evidence=Evidence.ABSENT,
            note=f"started by hand: {reason}",
        )
        if decision.verdict is Verdict.DENY or (decision.verdict is Verdict.HOLD and not decision.approvable):
            return decision.verdict, why(decision)
        runs.create(
            tx,
            plan,
            incident_id=None,
            state=RunState.PLANNED if decision.verdict is Verdict.ALLOW else RunState.HELD,
            verdict=decision.verdict.value,
            reasons=reasons_of(decision, plan),
            confidence=judged.confidence,
            evidence=Evidence.ABSENT.value,
            by=by,
            run_id=run_id,
            reason=reason,
        )
        if decision.verdict is Verdict.ALLOW:
            runs.move(tx, run_id, RunState.RUNNING, started_at=tx.now)
        else:
            approvals.ask(
                tx,
                run_id=run_id,
                incident_id=None,
                digest=plan.digest,
                policy=judged.policy,
                tier=plan.tier,
                needed=decision.approvals_needed,
                expires_at=tx.now + parts.policy.approval_expiry,
            )
        tx.on_commit.append(parts.wake)
        return decision.verdict, why(decision)

    try:
        verdict, because = await parts.ledger.write(decide)
    except TargetBusy as busy:
        raise Refused(str(busy), reason="target_busy") from busy
    if await parts.ledger.glance(lambda connection: runs.get(connection, run_id)) is None:
        raise Refused(f"{verdict.value}: {because}", reason="denied" if verdict is Verdict.DENY else "held")
    return run_id


async def ask_undo(parts: Parts, run_id: str, *, by: str, reason: str, release: bool = False) -> Run:
    """Begin to give back what a run changed; the run as it then is. Raises Refused when there is nothing to."""

    def begin(tx: Tx) -> Run:
        run = runs.get(tx.connection, run_id)
        if run is None:
            raise Refused(f"there is no run {run_id}", reason="unknown")
        if run.state.active:
            raise Refused(f"run {run_id} is {run.state.value}: cancel it first", reason="busy")
        if run.state is RunState.ROLLED_BACK:
            raise Refused(f"run {run_id} was given back already", reason="nothing")
        playbook = parts.catalog.playbooks.get(run.playbook_id)
        if playbook is not None and playbook.if_ineffective is IfIneffective.NOTHING:
            raise Refused(f"what {playbook.id} did cannot be given back, and needs not be", reason="nothing")
        if release and not run.kept:
            raise Refused(f"run {run_id} holds nothing that could be released", reason="nothing")
        if not any(step.state == "done" for step in runs.steps_of(tx.connection, run_id)):
            raise Refused(f"run {run_id} changed nothing that could be undone", reason="nothing")
        tx.record(
            "release_asked" if release else "undo_asked",
            {"reason": reason},
            run_id=run_id,
            incident_id=run.incident_id,
            actor=by,
        )
        # What the run achieved stays its outcome; giving it back later does not make it a failure.
        runs.move(tx, run_id, RunState.UNDOING, reason=f"{GIVEN_BACK}: {reason}", outcome=run.outcome)
        tx.on_commit.append(parts.wake)
        found = runs.get(tx.connection, run_id)
        assert found is not None
        return found

    try:
        return await parts.ledger.write(begin)
    except TargetBusy as busy:
        raise Refused("another run on this target has not ended", reason="target_busy") from busy


async def cancel(parts: Parts, run_id: str, *, by: str, reason: str) -> Run:
    """End a run that waits or is being verified; what it changed stands, and can be undone.

    Raises Refused while a step is being done.
    """

    def end(tx: Tx) -> Run:
        run = runs.get(tx.connection, run_id)
        if run is None:
            raise Refused(f"there is no run {run_id}", reason="unknown")
        if run.state.final:
            raise Refused(f"run {run_id} is {run.state.value} already", reason="settled")
        if run.state in (RunState.RUNNING, RunState.UNDOING):
            raise Refused(
                f"run {run_id} is doing a step; freeze to stop before the next one, or undo it afterwards",
                reason="busy",
            )
        approval = approvals.of_run(tx.connection, run_id)
        if approval is not None:
            approvals.settle(tx, approval, "rejected", f"cancelled by {by}: {reason}", actor=by)
        if run.state is not RunState.HELD:
            done = any(step.state == "done" for step in runs.steps_of(tx.connection, run_id))
            runs.move(tx, run_id, RunState.CANCELLED, reason=f"cancelled by {by}: {reason}", kept=int(done))
        elif run.incident_id is None:
            runs.move(tx, run_id, RunState.CANCELLED, reason=f"cancelled by {by}: {reason}")
        if run.incident_id:
            incidents.wake(tx, run.incident_id)
        tx.on_commit.append(parts.wake)
        found = runs.get(tx.connection, run_id)
        assert found is not None
        return found

    return await parts.ledger.write(end)


async def carry_on(parts: Parts, run: Run) -> None:
    """Drive a run that no incident drives: by hand, or being given back. Called until it is final."""
    resource = await _resource_of(parts, run)
    if run.state is RunState.UNDOING:
        await _give_back(parts, run, resource)
    elif run.state is RunState.RUNNING:
        await _run_by_hand(parts, run, resource)


async def settle_held(parts: Parts, run: Run) -> None:
    """A run by hand that waits for approval: begin it, or end it. Raises Transient: ask again later."""
    approval = await parts.ledger.glance(lambda connection: approvals.of_run(connection, run.id))
    if approval is None:
        return
    pending, expired = approval.status == "pending", approval.expires_at <= parts.clock.now()
    if pending and not expired:
        return
    if pending:
        await _end_held(parts, run, approval, RunState.EXPIRED, "nobody approved it in time")
    elif approval.status == "rejected":
        await _end_held(parts, run, approval, RunState.CANCELLED, approval.reason)
    elif approval.status == "approved":
        await _begin_approved(parts, run, approval, expired=expired)
    else:
        await _end_held(parts, run, approval, RunState.REFUSED, approval.reason)


async def _begin_approved(parts: Parts, run: Run, approval: Approval, *, expired: bool) -> None:
    playbook = parts.catalog.playbooks.get(run.playbook_id)
    if playbook is None:
        await _end_held(parts, run, approval, RunState.REFUSED, f"the catalog no longer knows {run.playbook_id}")
        return
    base = _base_target(parts, playbook, run)
    fallen = await standing.fallen(parts, playbook, run, target_name=base, resource="")
    if fallen is not None:
        await _end_held(parts, run, approval, RunState.REFUSED, fallen)
        return
    plan, holds = plan_of(run, playbook), await precondition.ask(parts, playbook.precondition)

    def begin(tx: Tx) -> Judged:
        given = approvals_given(tx.connection, run)
        judged = _judge(tx, parts, playbook, plan, holds, approvals_given=given, own_run=run.id)
        if judged.decision.verdict is Verdict.ALLOW:
            record(
                tx,
                incident=None,
                run_id=run.id,
                playbook=playbook,
                plan=plan,
                judged=judged,
                evidence=Evidence.ABSENT,
                note="started by hand, and approved",
            )
            words = [reason.value for reason in judged.decision.reasons]
            runs.move(tx, run.id, RunState.RUNNING, started_at=tx.now, verdict="allow", reasons=words)
            tx.on_commit.append(parts.wake)
        return judged

    try:
        judged = await parts.ledger.write(begin)
    except TargetBusy:
        log.info("approved_run_waits", run_id=run.id)
        return
    if judged.decision.verdict is Verdict.ALLOW:
        return
    other = other_verdict(judged, approval)
    if other is None and expired:
        other = f"approved, but it could not begin before the approval expired: {why(judged.decision)}"
    if other is not None:
        await _end_held(parts, run, approval, RunState.REFUSED, other)


async def _end_held(parts: Parts, run: Run, approval: Approval, state: RunState, reason: str) -> None:
    if state is RunState.REFUSED:
        await _tell_void(parts, run, approval, reason)

    def end(tx: Tx) -> None:
        if state is RunState.EXPIRED:
            approvals.settle(tx, approval, "expired", reason)
        else:
            approvals.void(tx, approval, reason)
        runs.move(tx, run.id, state, reason=reason)
        tx.on_commit.append(lambda: parts.publish("approval", approval.id))

    await parts.ledger.write(end)


async def _tell_void(parts: Parts, run: Run, approval: Approval, reason: str) -> None:
    await people.tell(
        parts,
        f"{approval.id}:void",
        f"the approval {approval.id} of {run.playbook_id} on {run.target}, started by {run.by}, is void, nothing was "
        f"done: {reason}",
    )


def _judge(
    tx: Tx,
    parts: Parts,
    playbook: PlaybookDefinition,
    plan: Plan,
    holds: Answer,
    *,
    approvals_given: int = 0,
    own_run: str | None = None,
) -> Judged:
    """The verdict on what a person starts: no alert stands behind it."""
    return judge(
        tx,
        parts,
        playbook,
        plan,
        incident=None,
        evidence=Evidence.ABSENT,
        share=1.0,
        approvals_given=approvals_given,
        purpose=Purpose.BY_HAND,
        own_run=own_run,
        precondition=holds,
    )


async def _run_by_hand(parts: Parts, run: Run, resource: str) -> None:
    playbook = parts.catalog.playbooks.get(run.playbook_id)

    def ended(tx: Tx) -> None:
        if playbook is not None and playbook.verified_by is VerifiedBy.CONTAINMENT:
            runs.move(tx, run.id, RunState.CONTAINED, acted_at=tx.now, kept=1, reason="the change was read back")
        else:
            runs.move(tx, run.id, RunState.EFFECTIVE, acted_at=tx.now, kept=1, reason="its effect was read back")
        tx.on_commit.append(lambda: parts.publish("run", run.id))

    try:
        failed = await act.execute(parts, run, resource, None, ended)
    except act.Stopped as stopped:
        log.info("run_waits", run_id=run.id, why=str(stopped))
        return
    except act.Changed as changed:
        failed = await _not_begun(parts, run, str(changed))
    if failed is not None:
        why = failed.error
        await parts.ledger.write(lambda tx: _failed(tx, parts, run, why))


def _failed(tx: Tx, parts: Parts, run: Run, why: str) -> None:
    runs.move(tx, run.id, RunState.FAILED, reason=why)
    tx.on_commit.append(lambda: parts.publish("run", run.id))


async def _not_begun(parts: Parts, run: Run, reason: str) -> act.Failed | None:
    """The world is another one than the plan was made for: refused, as if never begun; a failure after a step."""
    journal = await parts.ledger.glance(lambda connection: runs.steps_of(connection, run.id))
    if journal:
        return act.Failed(len(journal), reason)
    approval = await parts.ledger.glance(lambda connection: approvals.of_run(connection, run.id))
    if approval is not None:
        await _tell_void(parts, run, approval, reason)
    await parts.ledger.write(lambda tx: not_begun(tx, run, approval, reason))
    return None


async def _give_back(parts: Parts, run: Run, resource: str) -> None:
    failed = await act.undo(parts, run, resource, None)

    def end(tx: Tx) -> None:
        if failed is None:
            runs.move(tx, run.id, RunState.ROLLED_BACK, kept=0, release_at=None, outcome=run.outcome)
        else:
            runs.move(tx, run.id, RunState.UNDO_FAILED, reason=failed.error, release_at=None, outcome=run.outcome)
            act.hold_target(tx, run, failed.error)
        incident = incidents.get(tx.connection, run.incident_id) if run.incident_id else None
        if incident is not None:
            _after_release(tx, incident, failed)
        tx.on_commit.append(parts.wake)
        tx.on_commit.append(lambda: parts.publish("run", run.id))

    await parts.ledger.write(end)
    if failed is not None:
        await people.tell(
            parts,
            f"{run.id}:undo_failed:{parts.clock.now():.3f}",
            f"undoing {run.id} ({run.playbook_id} on {run.target}) failed, the target is held: {failed.error}",
        )


def _after_release(tx: Tx, incident: Incident, failed: act.Failed | None) -> None:
    if incident.state is not IncidentState.CONTAINED:
        return
    if failed is None:
        incidents.move(tx, incident, IncidentState.OPEN, reason="released by a person; judged afresh", wake_at=tx.now)
    else:
        incidents.move(
            tx, incident, IncidentState.ESCALATED, reason=f"the release failed: {failed.error}", wake_at=tx.now
        )


async def _planned(parts: Parts, playbook_id: str, target_name: str, run_id: str) -> tuple[PlaybookDefinition, Plan]:
    playbook = parts.catalog.playbooks.get(playbook_id)
    if playbook is None:
        raise Refused(f"there is no playbook {playbook_id!r}; `grace catalog show` lists them", reason="unknown")
    if parts.target(target_name) is None:
        known = ", ".join(sorted(parts.inventory.targets)) or "none"
        raise Refused(f"the inventory has no target {target_name!r} (it has: {known})", reason="unknown_target")
    plan = await render(
        parts,
        playbook,
        target_name=target_name,
        resource="",
        run_id=run_id,
        created_at=parts.clock.now(),
        incident_id=None,
    )
    if not isinstance(plan, Plan):
        raise Refused(plan.detail, reason=plan.reason)
    return playbook, plan


def _base_target(parts: Parts, playbook: PlaybookDefinition, run: Run) -> str:
    """The target that the run was started on: the one from which every step leads to what it acts on."""
    steps = zip(playbook.steps, run.plan, strict=False)
    acts = [(step.on, planned.target) for step, planned in steps if builtin_driver(step.verb) is None]
    return next(
        (
            each.name
            for each in parts.inventory.targets.values()
            if all(each.related(relation) == name for relation, name in acts)
        ),
        run.target,
    )


async def _resource_of(parts: Parts, run: Run) -> str:
    if run.incident_id is None:
        return ""
    incident_id = run.incident_id
    incident = await parts.ledger.glance(lambda connection: incidents.get(connection, incident_id))
    return incident.resource if incident else ""


async def release_step(parts: Parts, run: Run) -> None:
    """Give a healed change back by one step (the release run); the last step ends it.

    Raises Refused when governance holds it back now: it is asked again later.
    """
    playbook = parts.catalog.playbooks.get(run.playbook_id)
    journal = await parts.ledger.glance(lambda c: runs.steps_of(c, run.id))
    if playbook is None or not any(step.phase == "do" for step in journal):
        await parts.ledger.write(lambda tx: runs.update(tx, run.id, kept=0, release_at=None))
        return
    resource = await _resource_of(parts, run)
    back = await _step_back(parts, run, journal, resource)
    if back is None:
        await parts.ledger.write(lambda tx: _released(tx, run, "nothing of it stands any more"))
        return
    await _allow_release(parts, run, playbook, back.step)

    def advance(tx: Tx) -> None:
        if back.last:
            _released(tx, run, "given back, stepwise")
        else:
            released = run.released_steps + 1
            runs.update(tx, run.id, released_steps=released, release_at=tx.now + parts.policy.attempt_cooldown)

    failed = await act.perform(parts, run, "release", run.released_steps, back.step, resource, None, then=advance)
    if failed is not None:
        raise GraceError(failed.error)


@dataclass(frozen=True, slots=True)
class _Back:
    """One step of giving a change back, and whether nothing is left to give back after it."""

    step: PlannedStep
    last: bool


async def _step_back(parts: Parts, run: Run, journal: list[Step], resource: str) -> _Back | None:
    """What to do next of giving back the run's last step; None where nothing of it stands any more."""
    last = next(step for step in reversed(journal) if step.phase == "do")
    target = target_of_step(parts, PlannedStep(last.verb, last.target, last.driver, last.before, last.desired))
    driver = parts.drivers[last.driver]
    observed = await driver.observe(target, last.verb, context_for(parts, run, last.index, resource))
    back = way_back(driver, last, journal, observed)
    ways = () if back is None else driver.release_steps(last.verb, last.before, back[2], observed)
    if back is None or not ways:
        return None
    following = ways[0]
    if back[2] is not last.desired:
        # From where the last step of the release left it: no more steps than there were at the beginning.
        whole = driver.release_steps(last.verb, last.before, last.desired, last.after or last.desired)
        following = ways[-max(1, min(len(ways), len(whole) - run.released_steps))]
    step = PlannedStep(back[0], last.target, last.driver, dict(observed), dict(following))
    return _Back(step, following == ways[-1])


async def _allow_release(parts: Parts, run: Run, playbook: PlaybookDefinition, step: PlannedStep) -> None:
    """Nothing, where governance lets it begin now. Raises Refused where not, and tells people what only they may do."""
    plan = Plan(run.playbook_id, run.tier, playbook.risk.value, run.target, run.group, (step,), run.digest)
    releasing = playbook.model_copy(update={"id": f"release:{playbook.id}"})

    def decide(tx: Tx) -> Decision:
        judged = judge(
            tx,
            parts,
            releasing,
            plan,
            incident=None,
            evidence=Evidence.ABSENT,
            share=1.0,
            purpose=Purpose.RELEASE,
            own_run=run.id,
        )
        if judged.decision.verdict is Verdict.ALLOW:
            record(
                tx,
                incident=None,
                run_id=run.id,
                playbook=releasing,
                plan=plan,
                judged=judged,
                evidence=Evidence.ABSENT,
                note="what healing changed is given back",
            )
        return judged.decision

    decision = await parts.ledger.write(decide)
    if decision.verdict is Verdict.ALLOW:
        return
    held = ", ".join(reason.value for reason in decision.reasons)
    if PEOPLES.intersection(decision.reasons):
        word = f"grace runs release {run.id} --reason …"
        await people.tell(
            parts,
            f"{run.id}:release",
            f"{run.playbook_id} on {run.target} is needed no more; only a person may give it back ({held}): {word}",
        )
    raise Refused(held, reason="held")


def _released(tx: Tx, run: Run, why: str) -> None:
    runs.update(tx, run.id, kept=0, release_at=None)
    tx.record("released", {"reason": why}, run_id=run.id, incident_id=run.incident_id)
