"""Acting: the steps of a run are done, or taken back."""

from __future__ import annotations

from catalog.model import IfIneffective, MetricCatalogEntry, PlaybookDefinition, VerifiedBy
from remediator.ledger import approvals, incidents, runs
from remediator.ledger.engine import Tx
from remediator.model import Incident, IncidentState, Run, RunState
from remediator.pipeline import act
from remediator.pipeline.look import verify_time
from remediator.pipeline.parts import Parts
from remediator.pipeline.stages.moves import (
    active_run,
    move,
    stay,
    tell_void,
)
from remediator.pipeline.waiting import not_begun


async def acting(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Do the run's steps; then verification, the next candidate, or containment."""
    run = await active_run(parts, incident)
    if run is None:
        await move(parts, incident, IncidentState.PLANNING, "no run is going any more", wake_in=0)
        return
    playbook = parts.catalog.playbooks.get(run.playbook_id)
    if playbook is None:
        await _failed(parts, incident, run, f"the catalog no longer knows {run.playbook_id}", undo=False)
        return
    if run.state is RunState.UNDOING:
        await _take_back(parts, incident, run)
        return
    try:
        failed = await act.execute(
            parts, run, incident.resource, incident, lambda tx: _acted(tx, parts, incident, metric, run, playbook)
        )
    except act.Stopped as stopped:
        await stay(parts, incident, metric, str(stopped))
        return
    except act.Changed as changed:
        await _not_begun(parts, incident, run, str(changed), undo=playbook.if_ineffective is IfIneffective.UNDO)
        return
    if failed is not None:
        await _failed(parts, incident, run, failed.error, undo=playbook.if_ineffective is IfIneffective.UNDO)


async def _not_begun(parts: Parts, incident: Incident, run: Run, reason: str, *, undo: bool) -> None:
    """The world is another one than the plan was made for. Nothing was done yet: planned again, as if never begun."""
    journal = await parts.ledger.glance(lambda connection: runs.steps_of(connection, run.id))
    if journal:
        await _failed(parts, incident, run, reason, undo=undo)
        return
    approval = await parts.ledger.glance(lambda connection: approvals.of_run(connection, run.id))
    if approval is not None:
        await tell_void(parts, incident, run, approval, reason)

    def store(tx: Tx) -> None:
        not_begun(tx, run, approval, reason)
        incidents.move(tx, incident, IncidentState.PLANNING, reason=reason, wake_at=tx.now)
        tx.on_commit.append(parts.wake)
        tx.on_commit.append(lambda: parts.publish("run", run.id))

    await parts.ledger.write(store)


def _acted(
    tx: Tx, parts: Parts, incident: Incident, metric: MetricCatalogEntry, run: Run, playbook: PlaybookDefinition
) -> None:
    """Every step is done: what proves that it helped is awaited, or needs no proof."""
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


async def _failed(parts: Parts, incident: Incident, run: Run, error: str, *, undo: bool) -> None:
    """A step failed: what was done is taken back where the playbook says so, and the next candidate is judged."""
    done = any(step.state == "done" for step in await parts.ledger.glance(lambda c: runs.steps_of(c, run.id)))
    if undo and done:
        await parts.ledger.write(lambda tx: runs.move(tx, run.id, RunState.UNDOING, reason=error))
        await move(parts, incident, IncidentState.ACTING, f"undoing {run.playbook_id}: {error}", wake_in=0)
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
