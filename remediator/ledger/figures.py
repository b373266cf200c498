"""Figures over what the ledger holds, counted by the database: how long things took, what was decided, what is spent.

They outlive a restart, and every replica on the ledger sees the same.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.ledger.runs import VERIFIED_BY_METRIC
from remediator.ledger.schema import alerts, approvals, audit, incidents, runs
from remediator.model import Outcome, RunState

SECONDS = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Bounds of every histogram of seconds."""
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
DID_NOT_HELP = (
    RunState.INEFFECTIVE.value,
    RunState.ROLLED_BACK.value,
    RunState.UNDO_FAILED.value,
    RunState.FAILED.value,
)


@dataclass(frozen=True, slots=True)
class Spread:
    """How observations are spread: how many lie at or below each bound, how many there are, and their sum."""

    label: str
    below: tuple[int, ...]
    count: int
    sum: float


def detected(connection: Connection) -> list[Spread]:
    """Seconds from when an alert began to its incident, by category."""
    began = (
        sa.select(alerts.c.incident_id, sa.func.min(alerts.c.starts_at).label("at"))
        .where(alerts.c.incident_id.is_not(None))
        .group_by(alerts.c.incident_id)
        .subquery()
    )
    joined = incidents.join(began, began.c.incident_id == incidents.c.id)
    return _spread(connection, incidents.c.opened_at - began.c.at, incidents.c.category, joined)


def decided(connection: Connection) -> list[Spread]:
    """Seconds from an incident to the first plan that was let through or held, by category."""
    first = (
        sa.select(runs.c.incident_id, sa.func.min(runs.c.created_at).label("at"))
        .group_by(runs.c.incident_id)
        .subquery()
    )
    joined = incidents.join(first, first.c.incident_id == incidents.c.id)
    return _spread(connection, first.c.at - incidents.c.opened_at, incidents.c.category, joined)


def acted(connection: Connection) -> list[Spread]:
    """Seconds from a plan to the end of its last step, waiting for people included, by category."""
    joined = runs.join(incidents, incidents.c.id == runs.c.incident_id)
    done = runs.c.acted_at.is_not(None)
    return _spread(connection, runs.c.acted_at - runs.c.created_at, incidents.c.category, joined, done)


def verified(connection: Connection) -> list[Spread]:
    """Seconds from the end of a run's last step to what measurements said of it, by category."""
    joined = runs.join(incidents, incidents.c.id == runs.c.incident_id)
    done = sa.and_(runs.c.acted_at.is_not(None), runs.c.outcome.in_(VERIFIED_BY_METRIC))
    return _spread(connection, runs.c.ended_at - runs.c.acted_at, incidents.c.category, joined, done)


def healed(connection: Connection) -> list[Spread]:
    """Seconds from an incident to its verified heal, by category."""
    done = incidents.c.outcome == Outcome.HEALED.value
    return _spread(connection, incidents.c.closed_at - incidents.c.opened_at, incidents.c.category, incidents, done)


def answered(connection: Connection) -> list[Spread]:
    """Seconds that approvals waited, by how they ended."""
    done = approvals.c.decided_at.is_not(None)
    return _spread(connection, approvals.c.decided_at - approvals.c.created_at, approvals.c.status, approvals, done)


def confidence(connection: Connection) -> list[Spread]:
    """The confidence of plans that were let through or held, by playbook."""
    return _spread(connection, runs.c.confidence, runs.c.playbook_id, runs, bounds=SHARES)


def at_work(connection: Connection) -> list[tuple[str, str, str, str, str]]:
    """Playbook, target, state, metric and resource of every run that has its target to itself."""
    query = (
        sa.select(runs.c.playbook_id, runs.c.target, runs.c.state, incidents.c.metric_id, incidents.c.resource)
        .select_from(runs.outerjoin(incidents, incidents.c.id == runs.c.incident_id))
        .where(runs.c.active == 1)
    )
    return [(row[0], row[1], row[2], row[3] or "", row[4] or "") for row in connection.execute(query)]


def spent(connection: Connection, now: float) -> dict[str, int]:
    """How many runs began in the last hour, by target."""
    query = sa.select(runs.c.target, sa.func.count()).where(runs.c.started_at > now - 3600).group_by(runs.c.target)
    return {row[0]: row[1] for row in connection.execute(query)}


def strikes(connection: Connection) -> dict[tuple[str, str], int]:
    """How many runs did not help each open incident, by metric and resource; those with none are left out."""
    query = (
        sa.select(incidents.c.metric_id, incidents.c.resource, sa.func.count())
        .select_from(runs.join(incidents, incidents.c.id == runs.c.incident_id))
        .where(incidents.c.closed_at.is_(None), runs.c.outcome.in_(DID_NOT_HELP))
        .group_by(incidents.c.metric_id, incidents.c.resource)
    )
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}


def decisions(connection: Connection, after: int) -> tuple[Counter[tuple[str, str]], int]:
    """Verdicts and reasons (a decision counts once for each of its reasons) of audit entries after number `after`, and
    the number of the last entry that was looked at."""
    last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(audit.c.seq), 0))).scalar_one()
    query = sa.select(audit.c.entry).where(audit.c.seq > after, audit.c.seq <= last, audit.c.kind == "decision")
    found: Counter[tuple[str, str]] = Counter()
    for (entry,) in connection.execute(query):
        body = json.loads(entry)["body"]
        found.update((body["verdict"], reason) for reason in body["reasons"] or [""])
    return found, int(last)


def _spread(
    connection: Connection,
    value: sa.ColumnElement[Any],
    label: sa.ColumnElement[str],
    source: sa.FromClause,
    where: sa.ColumnElement[bool] | None = None,
    bounds: tuple[float, ...] = SECONDS,
) -> list[Spread]:
    # Clocks of two machines may disagree by a little: nothing takes less than no time.
    value = sa.case((value < 0, 0.0), else_=value)
    below = [sa.func.sum(sa.case((value <= bound, 1), else_=0)) for bound in bounds]
    query = sa.select(label, sa.func.count(), sa.func.sum(value), *below).select_from(source).group_by(label)
    if where is not None:
        query = query.where(where)
    return [
        Spread(row[0], tuple(int(each) for each in row[3:]), row[1], float(row[2])) for row in connection.execute(query)
    ]
