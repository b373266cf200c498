"""An incident's life: one stage per state. Each takes a claimed incident and leaves it in its next state.

open ─> planning ─> waiting_approval ─> acting ─> verifying ─> closed (healed)
          │  ^             │                         │
          │  └── cooling <─┴──── the next candidate <┘        contained, escalated, blind, suspended
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from catalog.model import MetricCatalogEntry
from remediator.model import Incident, IncidentState
from remediator.pipeline.parts import Parts
from remediator.pipeline.stages.acting import acting
from remediator.pipeline.stages.approval import waiting
from remediator.pipeline.stages.moves import escalate
from remediator.pipeline.stages.planning import planning
from remediator.pipeline.stages.resting import blind, contained, cooling, escalated, opened, suspended
from remediator.pipeline.stages.verifying import verifying
from remediator.pipeline.subject import subject_of

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


async def advance(parts: Parts, incident: Incident) -> None:
    """Do what the incident's state asks for. Raises LeaseLost when the claim is gone."""
    metric = subject_of(parts.catalog, incident.metric_id, incident.labels)
    if metric is None:
        await escalate(parts, incident, f"the catalog no longer knows {incident.metric_id}")
        return
    await STAGES[incident.state](parts, incident, metric)
