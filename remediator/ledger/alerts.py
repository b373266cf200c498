"""Alerts as they were received, and payloads that were not Alertmanager's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.ledger.engine import Tx
from remediator.ledger.schema import alerts, quarantine

QUARANTINE_ROWS = 200
QUARANTINE_BYTES = 64 * 1024
"""Kept of one quarantined body."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert of one notification, stored and not yet applied."""

    id: int
    key: str
    fingerprint: str
    status: str
    starts_at: float
    labels: dict[str, str]
    annotations: dict[str, str]
    source: str
    received_at: float


def accept(tx: Tx, rows: Sequence[dict[str, Any]]) -> int:
    """Store alerts that are new (by fingerprint + startsAt + status); how many were."""
    dialect = tx.connection.dialect.name
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    stored = 0
    for row in rows:
        statement = insert(alerts).values(received_at=tx.now, **row).on_conflict_do_nothing(index_elements=["key"])
        stored += tx.execute(statement).rowcount
    return stored


def unhandled(tx: Tx, limit: int) -> list[Notice]:
    """The oldest alerts that have not been applied to an incident."""
    query = sa.select(alerts).where(alerts.c.handled == 0).order_by(alerts.c.id).limit(limit)
    return [
        Notice(
            row.id,
            row.key,
            row.fingerprint,
            row.status,
            row.starts_at,
            row.labels,
            row.annotations,
            row.source,
            row.received_at,
        )
        for row in tx.execute(query)
    ]


def handled(tx: Tx, notice_id: int, incident_id: str | None) -> None:
    tx.execute(sa.update(alerts).where(alerts.c.id == notice_id).values(handled=1, incident_id=incident_id))


def latest_status(tx: Tx, fingerprint: str) -> tuple[str, float] | None:
    """Status and startsAt of the newest applied alert of this fingerprint; a resolved one wins over its own firing."""
    query = (
        sa.select(alerts.c.status, alerts.c.starts_at)
        .where(alerts.c.fingerprint == fingerprint, alerts.c.handled == 1)
        .order_by(alerts.c.starts_at.desc(), (alerts.c.status == "resolved").desc())
        .limit(1)
    )
    row = tx.execute(query).first()
    return (row.status, row.starts_at) if row else None


def known(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Which of these keys have been received."""
    if not keys:
        return set()
    return {row[0] for row in connection.execute(sa.select(alerts.c.key).where(alerts.c.key.in_(keys)))}


def quarantine_body(tx: Tx, reason: str, body: bytes) -> None:
    """Keep what could not be understood, bounded in size and number (the oldest go)."""
    tx.execute(
        sa.insert(quarantine).values(received_at=tx.now, reason=reason, body=body[:QUARANTINE_BYTES], size=len(body))
    )
    newest = sa.select(quarantine.c.id).order_by(quarantine.c.id.desc()).limit(QUARANTINE_ROWS)
    tx.execute(sa.delete(quarantine).where(quarantine.c.id.not_in(newest)))


def counts(connection: Connection) -> dict[str, int]:
    """`waiting` and `quarantined`: rows now."""
    waiting = connection.execute(
        sa.select(sa.func.count()).select_from(alerts).where(alerts.c.handled == 0)
    ).scalar_one()
    kept = connection.execute(sa.select(sa.func.count()).select_from(quarantine)).scalar_one()
    return {"waiting": waiting, "quarantined": kept}
