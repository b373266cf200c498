"""What a metric looked like before and after a run."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.ledger.engine import Tx
from remediator.ledger.prepared import Prepared
from remediator.ledger.schema import snapshots

_KEEP = Prepared(lambda: sa.insert(snapshots))


def keep(
    tx: Tx,
    *,
    incident_id: str | None,
    run_id: str | None,
    moment: str,
    metric_id: str,
    resource: str,
    body: dict[str, Any],
) -> None:
    """Store a snapshot (`moment` is before or after). Recorded."""
    _KEEP.on(
        tx.connection,
        {
            "incident_id": incident_id,
            "run_id": run_id,
            "moment": moment,
            "metric_id": metric_id,
            "resource": resource,
            "at": tx.now,
            "body": body,
        },
    )
    tx.record(
        "snapshot",
        {"moment": moment, "metric_id": metric_id, "resource": resource, **body},
        incident_id=incident_id,
        run_id=run_id,
    )


def of_incident(connection: Connection, incident_id: str) -> list[dict[str, Any]]:
    query = sa.select(snapshots).where(snapshots.c.incident_id == incident_id).order_by(snapshots.c.id)
    return [
        {
            "moment": row.moment,
            "run_id": row.run_id,
            "metric_id": row.metric_id,
            "resource": row.resource,
            "at": row.at,
            **row.body,
        }
        for row in connection.execute(query)
    ]


def latest(connection: Connection) -> list[dict[str, Any]]:
    """The newest snapshot of every metric and resource."""
    newest = sa.select(sa.func.max(snapshots.c.id)).group_by(snapshots.c.metric_id, snapshots.c.resource)
    query = sa.select(snapshots).where(snapshots.c.id.in_(newest)).order_by(snapshots.c.metric_id, snapshots.c.resource)
    return [
        {"metric_id": row.metric_id, "resource": row.resource, "at": row.at, "moment": row.moment, **row.body}
        for row in connection.execute(query)
    ]
