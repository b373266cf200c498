"""States in which nothing runs: it is looked whether there is something to do, or nothing any more."""

from __future__ import annotations

import math

from catalog.model import MetricCatalogEntry
from remediator.ledger import incidents, runs
from remediator.model import Incident, IncidentState, Outcome, RunState
from remediator.pipeline.look import look, verify_time
from remediator.pipeline.parts import Parts
from remediator.pipeline.stages.moves import (
    SLOWEST_POLL,
    close,
    escalate,
    move,
    stay,
    tell_once,
    title,
)
from remediator.pipeline.stages.planning import planning


async def opened(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Wait for its turn on the target, then plan; or see out an alert that has ended."""
    if not incident.firing:
        await _see_out(parts, incident, metric)
        return
    other = await parts.ledger.glance(lambda connection: incidents.busy_with_target(connection, incident))
    if other is not None:
        await stay(parts, incident, metric, f"{other} is being handled on the same target")
        return
    await move(parts, incident, IncidentState.PLANNING, "its turn", wake_in=0)


async def blind(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """The alert went away without proof: closed by fresh good measurements, reopened by a new alert."""
    if incident.firing:
        await move(parts, incident, IncidentState.OPEN, "the alert fires again", wake_in=0)
        return
    seen = await look(parts, metric, incident.resource, incident.band)
    if seen.good:
        await close(parts, incident, Outcome.SELF_RESOLVED, "the last three measurements are good")
        return
    await tell_once(parts, incident, f"{title(incident)} is blind: {incident.reason}")
    await stay(parts, incident, metric, incident.reason)


async def suspended(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Silenced: nothing is done until the reconciler says that the silence ended."""
    if not incident.firing:
        await move(parts, incident, IncidentState.OPEN, "the alert ended while it was silenced", wake_in=0)
        return
    await stay(parts, incident, metric, incident.reason)


async def _see_out(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """The alert has ended. Fresh good measurements close the incident; without any it goes blind."""
    seen = await look(parts, metric, incident.resource, incident.band)
    if seen.good:
        await close(parts, incident, Outcome.SELF_RESOLVED, "the last three measurements are good")
        return
    patience = incident.last_notice_at + verify_time(metric)
    if parts.clock.now() < patience:
        await stay(parts, incident, metric, "the alert ended; waiting for good measurements")
        return
    await move(
        parts,
        incident,
        IncidentState.BLIND,
        f"the alert ended without fresh good measurements ({seen.note})",
        wake_in=0,
    )


async def cooling(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Waited long enough: judged afresh, without leaving the state until something may run."""
    other = await parts.ledger.glance(lambda connection: incidents.busy_with_target(connection, incident))
    if other is not None:
        await stay(parts, incident, metric, f"{other} is being handled on the same target")
        return
    await planning(parts, incident, metric)


async def contained(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Held where it is until a person releases it; a safety measure nobody confirmed in time calls people."""
    known = await tell_once(parts, incident, f"{title(incident)} is contained: {incident.reason}")
    wake_in = None if known else SLOWEST_POLL
    past = await parts.ledger.glance(lambda connection: runs.of_incident(connection, incident.id))
    run = next((each for each in reversed(past) if each.state is RunState.CONTAINED), None)
    playbook = parts.catalog.playbooks.get(run.playbook_id) if run else None
    if run is not None and playbook is not None and playbook.safety and run.acted_at is not None:
        confirm_by = run.acted_at + parts.policy.safety_confirm_within
        if parts.clock.now() >= confirm_by:
            await escalate(parts, incident, f"{playbook.id} was not confirmed by a person in time; it stays")
            return
        wake_in = min(confirm_by - parts.clock.now(), wake_in or math.inf)
    await move(parts, incident, IncidentState.CONTAINED, incident.reason, wake_in=wake_in)


async def escalated(parts: Parts, incident: Incident, metric: MetricCatalogEntry) -> None:
    """Stays open until it is resolved, by fresh good measurements after the alert's end, or closed by a person."""
    await tell_once(parts, incident, f"{title(incident)} needs a person: {incident.reason}")
    if not incident.firing:
        seen = await look(parts, metric, incident.resource, incident.band)
        if seen.good:
            await close(parts, incident, Outcome.SELF_RESOLVED, "the last three measurements are good")
            return
    await stay(parts, incident, metric, incident.reason)
