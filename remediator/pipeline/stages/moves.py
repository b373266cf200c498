"""What the stages share: an incident moves, a run begins, people are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catalog.model import MetricCatalogEntry, PlaybookDefinition, Response
from remediator.governance.verdict import Decision
from remediator.ledger import approvals, incidents, runs, snapshots, told
from remediator.ledger.engine import Tx
from remediator.model import Approval, Incident, IncidentState, Outcome, Run, RunState
from remediator.pipeline import people
from remediator.pipeline.decide import Judged
from remediator.pipeline.look import Look
from remediator.pipeline.parts import Parts

SLOWEST_POLL = 30.0
"""Seconds between two looks at an incident in which nothing happens, at most."""


async def active_run(parts: Parts, incident: Incident) -> Run | None:
    """The run of this incident that is not over; None where there is none."""
    past = await parts.ledger.glance(lambda connection: runs.of_incident(connection, incident.id))
    return next((run for run in past if run.state.active), None)


async def move(parts: Parts, incident: Incident, state: IncidentState, reason: str, *, wake_in: float | None) -> None:
    """Leave the incident in a state, to be looked at again in so many seconds; None: when something happens."""

    def store(tx: Tx) -> None:
        wake_at = None if wake_in is None else tx.now + wake_in
        incidents.move(tx, incident, state, reason=reason, wake_at=wake_at)
        if wake_in is not None and wake_in <= 0:
            tx.on_commit.append(parts.wake)
        if state is not incident.state:
            tx.on_commit.append(lambda: parts.publish("incident", incident.id))

    await parts.ledger.write(store)


async def stay(parts: Parts, incident: Incident, metric: MetricCatalogEntry, reason: str) -> None:
    """Leave it where it is, to be looked at again soon."""
    await move(parts, incident, incident.state, reason, wake_in=min(metric.interval, SLOWEST_POLL))


async def close(parts: Parts, incident: Incident, outcome: Outcome, reason: str) -> None:
    """It is over."""

    def store(tx: Tx) -> None:
        incidents.move(tx, incident, IncidentState.CLOSED, reason=reason, wake_at=None, outcome=outcome)
        free(tx, parts, incident)

    await parts.ledger.write(store)


def free(tx: Tx, parts: Parts, incident: Incident) -> None:
    """Whoever waited for this incident's target is judged afresh."""
    if incident.target is not None:
        incidents.wake_for_target(tx, incident.target)
    tx.on_commit.append(parts.wake)
    tx.on_commit.append(lambda: parts.publish("incident", incident.id))


async def escalate(parts: Parts, incident: Incident, reason: str) -> None:
    """From here on it is a person's."""
    await move(parts, incident, IncidentState.ESCALATED, reason, wake_in=0)


async def tell_group(parts: Parts, incident: Incident, response: Response, seen: Look) -> None:
    """Tell a group of people that the catalog names, once for this incident and band."""
    occasion = f"{incident.id}:tell:{response.name}:{incident.band.value}"
    if await people.tell(parts, occasion, f"{response.name}: {title(incident)}: {seen.note}", incident):
        await parts.ledger.write(
            lambda tx: _told(tx, incident, {"whom": response.name, "occasion": occasion, "note": seen.note})
        )


def _told(tx: Tx, incident: Incident, body: Mapping[str, Any]) -> None:
    tx.record("people_told", dict(body), incident_id=incident.id)


async def tell_once(parts: Parts, incident: Incident, message: str) -> bool:
    """Tell people, once for this incident in the state it is in; do they know now?"""
    occasion = f"{incident.id}:{incident.state.value}:{incident.changed_at:.3f}"
    if await people.tell(parts, occasion, message, incident):
        return True
    return await parts.ledger.glance(lambda connection: told.holds(connection, occasion))


def title(incident: Incident) -> str:
    """What people call an incident by."""
    return f"{incident.metric_id} on {incident.resource} ({incident.band.value}, {incident.id})"


def begin(
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


def snapshot(tx: Tx, incident: Incident, run_id: str, moment: str, body: Mapping[str, Any]) -> None:
    """Keep what was measured before or after a run."""
    snapshots.keep(
        tx,
        incident_id=incident.id,
        run_id=run_id,
        moment=moment,
        metric_id=incident.metric_id,
        resource=incident.resource,
        body=dict(body),
    )


async def void(parts: Parts, incident: Incident, held: Run, reason: str) -> None:
    """End a held plan that nobody waits for any more (its incident was silenced meanwhile)."""
    approval = await parts.ledger.glance(lambda connection: approvals.of_run(connection, held.id))
    if approval is not None:
        await tell_void(parts, incident, held, approval, reason)

    def store(tx: Tx) -> None:
        if approval is not None:
            approvals.void(tx, approval, reason)
        runs.move(tx, held.id, RunState.REFUSED, reason=reason)

    await parts.ledger.write(store)


async def tell_void(parts: Parts, incident: Incident, held: Run, approval: Approval, reason: str) -> None:
    await people.tell(
        parts,
        f"{approval.id}:void",
        f"{title(incident)}: the approval {approval.id} of {held.playbook_id} on {held.target} is void, nothing was "
        f"done: {reason}. The incident is judged again.",
        incident,
    )
