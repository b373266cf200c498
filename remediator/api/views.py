"""The documents of the API: incidents, runs, approvals, as JSON-able mappings. Times are epoch seconds."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from catalog.model import Catalog, PlaybookDefinition
from remediator.ledger import approvals, incidents, runs, settings, snapshots
from remediator.ledger.schema import audit
from remediator.model import Approval, Incident, Run, Step
from remediator.pipeline.decide import current_settings, settings_json
from remediator.pipeline.parts import Parts

Json = dict[str, Any]


def incident(found: Incident) -> Json:
    return {
        "id": found.id,
        "metric_id": found.metric_id,
        "resource": found.resource,
        "category": found.category,
        "band": found.band.value,
        "opened_band": found.opened_band.value,
        "state": found.state.value,
        "target": found.target,
        "opened_at": found.opened_at,
        "changed_at": found.changed_at,
        "closed_at": found.closed_at,
        "outcome": found.outcome.value if found.outcome else None,
        "reason": found.reason,
        "verdict": found.verdict,
        "reasons": list(found.reasons),
        "firing": bool(found.firing),
    }


def run(found: Run, steps: list[Step] | None = None) -> Json:
    done = [_step(step) for step in steps] if steps else [{**step.as_json(), "state": "planned"} for step in found.plan]
    return {
        "id": found.id,
        "incident_id": found.incident_id,
        "playbook_id": found.playbook_id,
        "target": found.target,
        "group": found.group,
        "tier": str(found.tier),
        "state": found.state.value,
        "outcome": found.outcome,
        "verdict": found.verdict,
        "reasons": list(found.reasons),
        "confidence": round(found.confidence, 6),
        "evidence": found.evidence,
        "digest": found.digest,
        "by": found.by,
        "reason": found.reason,
        "created_at": found.created_at,
        "started_at": found.started_at,
        "acted_at": found.acted_at,
        "verify_until": found.verify_until,
        "ended_at": found.ended_at,
        "kept": found.kept,
        "release_at": found.release_at,
        "steps": done,
    }


def _step(step: Step) -> Json:
    return {
        "phase": step.phase,
        "index": step.index,
        "verb": step.verb.value,
        "target": step.target,
        "driver": step.driver,
        "before": step.before,
        "desired": step.desired,
        "after": step.after,
        "state": step.state,
        "attempts": step.attempts,
        "intended_at": step.intended_at,
        "ended_at": step.ended_at,
        "error": step.error,
    }


def approval(found: Approval, its_run: Run | None, votes: list[Json]) -> Json:
    document: Json = {
        "id": found.id,
        "run_id": found.run_id,
        "incident_id": found.incident_id,
        "plan_digest": found.plan_digest,
        "tier": str(found.tier),
        "status": found.status,
        "needed": found.needed,
        "given": found.given,
        "created_at": found.created_at,
        "expires_at": found.expires_at,
        "reason": found.reason,
        "policy": found.policy,
        "votes": votes,
    }
    if its_run is not None:
        document |= {
            "playbook_id": its_run.playbook_id,
            "target": its_run.target,
            "reasons": list(its_run.reasons),
            "confidence": round(its_run.confidence, 6),
            "plan": [step.as_json() for step in its_run.plan],
        }
    return document


def approval_whole(connection: Connection, found: Approval) -> Json:
    return approval(found, runs.get(connection, found.run_id), approvals.votes_of(connection, found.id))


def run_whole(connection: Connection, found: Run) -> Json:
    return run(found, runs.steps_of(connection, found.id))


def incident_whole(connection: Connection, incident_id: str) -> Json | None:
    """One incident with its runs, snapshots and timeline: the whole story, the timeline from the audit log alone."""
    found = incidents.get(connection, incident_id)
    if found is None:
        return None
    return {
        **incident(found),
        "labels": dict(found.labels),
        "runs": [run_whole(connection, each) for each in runs.of_incident(connection, incident_id)],
        "snapshots": snapshots.of_incident(connection, incident_id),
        "timeline": entries(connection, incident_id=incident_id, limit=2000),
    }


def entries(
    connection: Connection,
    *,
    limit: int,
    after: int = 0,
    incident_id: str | None = None,
    newest_first: bool = False,
) -> list[Json]:
    """Audit entries as they were sealed, with their hash."""
    query = sa.select(audit.c.seq, audit.c.entry, audit.c.hash).limit(limit)
    if incident_id is not None:
        query = query.where(audit.c.incident_id == incident_id)
    if newest_first:
        query = query.order_by(audit.c.seq.desc())
        if after:
            query = query.where(audit.c.seq < after)
    else:
        query = query.where(audit.c.seq > after).order_by(audit.c.seq)
    return [{**json.loads(row.entry), "hash": row.hash} for row in connection.execute(query)]


def playbook(found: PlaybookDefinition, catalog: Catalog, record: tuple[int, int]) -> Json:
    answers = [
        {"metric_id": metric.id, "band": band}
        for metric in catalog.metrics.values()
        for band, sides in (("warning", metric.warning), ("critical", metric.critical))
        if any(each.name == found.id for side in (sides.high, sides.low) for each in side)
    ]
    return {
        "id": found.id,
        "title": found.title,
        "description": found.description,
        "tier": str(found.tier),
        "risk": found.risk.value,
        "verified_by": found.verified_by.value,
        "if_ineffective": found.if_ineffective.value,
        "steps": [{"verb": step.verb.value, "on": step.on.value, "args": dict(step.args)} for step in found.steps],
        "answers": answers,
        "healed": record[0],
        "did_not_help": record[1],
    }


async def governance(parts: Parts) -> Json:
    """What is in force now, what waits for confirmation, and which targets are held."""

    def read(connection: Connection) -> Json:
        return {
            **settings_json(current_settings(connection, parts)),
            "evidence": parts.policy.evidence,
            "pending": sorted(parts.pending),
            "holds": settings.held(connection, parts.clock.now()),
        }

    return await parts.ledger.read(read)
