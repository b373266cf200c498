"""Whether a heal has lasted: what it changed is given back only once its metric has been good for a while."""

from __future__ import annotations

from catalog.model import Band
from remediator.errors import GraceError
from remediator.ledger import incidents
from remediator.model import Run
from remediator.pipeline.look import look, since
from remediator.pipeline.parts import Parts
from remediator.pipeline.subject import subject_of


async def still_needed(parts: Parts, run: Run) -> str | None:
    """Why the run's change is not to be given back yet, in words; None once its metric was good for `release_after`.

    Nothing stands in the way of a run without an incident, or whose metric the catalog no longer knows.
    """
    if run.incident_id is None:
        return None
    incident_id = run.incident_id
    incident = await parts.ledger.read(lambda connection: incidents.get(connection, incident_id))
    metric = None if incident is None else subject_of(parts.catalog, incident.metric_id, incident.labels)
    if incident is None or metric is None:
        return None
    begins = max(run.ended_at or 0.0, parts.clock.now() - parts.policy.release_after)
    try:
        measured = await since(parts, metric, incident.resource, begins)
    except GraceError as error:
        return f"whether {metric.id} is good cannot be asked: {error}"
    if any(each.band is not Band.GOOD for each in measured):
        return f"{metric.id} was not good all the time since {run.playbook_id} ended, or for long enough"
    if not (await look(parts, metric, incident.resource, Band.WARNING)).good:
        return f"the last three measurements of {metric.id} are not fresh and good"
    return None
