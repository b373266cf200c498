"""Giving back what a run changed: whether it is time, and how, when a part of it was given back already."""

from __future__ import annotations

from collections.abc import Iterable

from catalog.model import Band, Verb
from remediator.drivers.base import Driver, State
from remediator.errors import GraceError
from remediator.ledger import incidents, runs
from remediator.model import Run, Step
from remediator.pipeline.look import look, since
from remediator.pipeline.parts import Parts
from remediator.pipeline.subject import subject_of


async def still_needed(parts: Parts, run: Run) -> str | None:
    """Why the run's change is not to be given back yet, in words; None once its metric was good for `release_after`.

    What came later on the same target goes first: each began from what the one before had left. Nothing else stands in
    the way of a run without an incident, or whose metric the catalog no longer knows.
    """
    later = await parts.ledger.glance(lambda connection: runs.kept_later(connection, run))
    if later is not None:
        return f"{later} came later on {run.target}, and is given back first"
    if run.incident_id is None:
        return None
    incident_id = run.incident_id
    incident = await parts.ledger.glance(lambda connection: incidents.get(connection, incident_id))
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


def way_back(driver: Driver, done: Step, journal: Iterable[Step], observed: State) -> tuple[Verb, State, State] | None:
    """What gives a step back from what is observed: verb, the state to bring about, and what Grace had set last.

    None when what it set no longer stands. That is what the step itself set, or the latest step of a release.
    """
    given = [step.desired for step in journal if step.phase == "release" and step.state == "done"]
    for stood in (done.desired, *given[-1:]):
        back = driver.give_back(done.verb, done.before, stood, observed)
        if back is not None:
            return (*back, stood)
    return None
