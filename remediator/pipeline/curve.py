"""How an incident's metric went, as far as Prometheus still knows: for the postmortem's picture."""

from __future__ import annotations

from remediator.drivers.base import State
from remediator.ledger import incidents
from remediator.pipeline.look import people_value
from remediator.pipeline.parts import Parts
from remediator.pipeline.subject import measurements, subject_of

_LONGEST = 24 * 3600.0
"""Seconds of an incident that has gone on for longer; the newest are shown."""


async def curve(parts: Parts, incident_id: str) -> State:
    """Measurements from one window before the incident until its end, or until now.

    `title`, `unit`, `points` ([epoch seconds, value in that unit], oldest first; at most a day of them), `thresholds`
    (`band`, the `value` where it begins, and whether it lies `above` it). Empty for an incident or a metric that nobody
    knows. Raises Transient when Prometheus is away, Permanent when it refuses.
    """
    incident = await parts.ledger.read(lambda connection: incidents.get(connection, incident_id))
    metric = subject_of(parts.catalog, incident.metric_id, incident.labels) if incident is not None else None
    if incident is None or metric is None:
        return {}
    until = parts.clock.now() if incident.closed_at is None else incident.closed_at + metric.window
    until = min(until, parts.clock.now())
    since = max(incident.opened_at - 2 * metric.window, until - _LONGEST)
    measured = await measurements(parts, metric, incident.resource, since, until)
    return {
        "title": metric.title,
        "unit": metric.unit_label,
        "points": [[each.at, people_value(metric, each.value)] for each in measured],
        "thresholds": [
            {"band": band, "value": float(value), "above": above}
            for side, above in ((metric.bands.high, True), (metric.bands.low, False))
            if side is not None
            for band, value in (("warning", side.warning), ("critical", side.critical))
        ],
    }
