"""What is no longer needed is let go of: applied alerts, closed incidents with all that belongs to them, runs by hand.

Never the audit log, nothing that is open, nothing whose change still stands; and an alert stays known for as long as
its incident is there, so that its repeats stay repeats. What runs have proven of their playbooks stays, as two numbers.
"""

from __future__ import annotations

import sqlalchemy as sa

from remediator.ledger.engine import Tx
from remediator.ledger.runs import keep_outcomes
from remediator.ledger.schema import ACTIVE, KEPT, alerts, approvals, incidents, runs, snapshots, steps, told, votes

SHORTEST = 86400.0
"""Seconds that everything is kept for, whatever is configured: cooldowns and budgets are counted from it."""
PORTION = 500
"""Most alerts, incidents and runs that one transaction takes."""


def let_go(tx: Tx, retention: float) -> int:
    """Delete a portion of what ended longer than `retention` seconds ago; how many rows (0: there is no more)."""
    before = tx.now - max(retention, SHORTEST)
    gone = _incidents(tx, before) + _by_hand(tx, before) + _alerts(tx, before) + _told(tx, before)
    if gone:
        tx.record("retention", {"rows": gone, "before": before})
    return gone


def _incidents(tx: Tx, before: float) -> int:
    unfinished = sa.exists().where(runs.c.incident_id == incidents.c.id, sa.or_(KEPT, ACTIVE))
    query = sa.select(incidents.c.id).where(incidents.c.closed_at < before, ~unfinished).order_by(incidents.c.id)
    ended = [row[0] for row in tx.execute(query.limit(PORTION))]
    if not ended:
        return 0
    gone = _runs(tx, [row[0] for row in tx.execute(sa.select(runs.c.id).where(runs.c.incident_id.in_(ended)))])
    for table in (snapshots, told, incidents):
        column = table.c.id if table is incidents else table.c.incident_id
        gone += tx.execute(sa.delete(table).where(column.in_(ended))).rowcount
    return gone


def _by_hand(tx: Tx, before: float) -> int:
    query = (
        sa.select(runs.c.id)
        .where(runs.c.incident_id.is_(None), runs.c.ended_at < before, ~KEPT, ~ACTIVE)
        .order_by(runs.c.id)
    )
    return _runs(tx, [row[0] for row in tx.execute(query.limit(PORTION))])


def _runs(tx: Tx, ids: list[str]) -> int:
    if not ids:
        return 0
    keep_outcomes(tx, ids)
    asked = sa.select(approvals.c.id).where(approvals.c.run_id.in_(ids))
    gone = tx.execute(sa.delete(votes).where(votes.c.approval_id.in_(asked))).rowcount
    for table, column in ((approvals, approvals.c.run_id), (steps, steps.c.run_id), (runs, runs.c.id)):
        gone += tx.execute(sa.delete(table).where(column.in_(ids))).rowcount
    return gone


def _alerts(tx: Tx, before: float) -> int:
    known = sa.exists().where(incidents.c.id == alerts.c.incident_id)
    applied = alerts.c.handled == sa.literal_column("1")
    old = sa.select(alerts.c.id).where(applied, alerts.c.received_at < before, ~known).order_by(alerts.c.id)
    return tx.execute(sa.delete(alerts).where(alerts.c.id.in_(old.limit(PORTION)))).rowcount


def _told(tx: Tx, before: float) -> int:
    """What was told of no incident; the rest goes with its incident, so that nobody is told twice of an open one."""
    old = sa.select(told.c.occasion).where(told.c.incident_id.is_(None), told.c.at < before).limit(PORTION)
    return tx.execute(sa.delete(told).where(told.c.occasion.in_(old))).rowcount
