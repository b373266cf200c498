"""Verifying: the metric that raised the alert says whether it helped."""

from __future__ import annotations

from typing import Any

import structlog

from catalog.model import IfIneffective, MetricCatalogEntry, Release
from remediator import crash
from remediator.errors import GraceError
from remediator.ledger import incidents, runs
from remediator.ledger.engine import Tx
from remediator.model import Incident, IncidentState, Outcome, Run, RunState
from remediator.pipeline.look import healed, shown, since, summary
from remediator.pipeline.parts import Parts
from remediator.pipeline.stages.moves import active_run, free, move, snapshot, stay

log = structlog.get_logger(__name__)


async def verifying(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Watch the metric that raised the alert, by the measurements after the change."""
    run = await active_run(parts, incident)
    if run is None or run.acted_at is None or run.verify_until is None:
        await move(parts, incident, IncidentState.PLANNING, "no run is being verified any more", wake_in=0)
        return
    now = parts.clock.now()
    try:
        measured = await since(parts, metric, incident.resource, run.acted_at)
    except GraceError as error:
        if now < run.verify_until:
            await stay(parts, incident, metric, f"cannot verify yet: {error}")
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
        await stay(parts, incident, metric, f"watching {metric.id} after {run.playbook_id}: {last}")
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
        snapshot(tx, incident, run.id, "after", body)
        runs.move(tx, run.id, RunState.HEALED, kept=int(kept), release_at=release_at, reason="the metric is good again")
        incidents.move(
            tx,
            incident,
            IncidentState.CLOSED,
            reason=f"healed by {run.playbook_id}: the metric is {shown(metric, measured[-1].value)}",
            wake_at=None,
            outcome=Outcome.HEALED,
        )
        free(tx, parts, incident)
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
        snapshot(tx, incident, run.id, "after", body)
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
            free(tx, parts, incident)
        tx.on_commit.append(parts.wake)

    await parts.ledger.write(store)
