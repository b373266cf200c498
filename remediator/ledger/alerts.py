"""Alerts as they were received, and payloads that were not Alertmanager's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.ledger.engine import Tx
from remediator.ledger.prepared import Prepared
from remediator.ledger.schema import UNHANDLED, alerts, quarantine

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
    return accept_all(tx, [rows])[0]


def accept_all(tx: Tx, posts: Sequence[Sequence[dict[str, Any]]]) -> list[int]:
    """Store the alerts of several posts; of each, how many were new."""
    rows = [{"received_at": tx.now, **row} for post in posts for row in post]
    if not rows:
        return [0] * len(posts)
    # In one order, so that two replicas that are given the same alerts wait for each other and not in a circle.
    rows.sort(key=itemgetter("key"))
    new = {key for (key,) in tx.execute(_accept(tx.connection.dialect.name), rows)}
    counts = []
    for post in posts:
        mine = new.intersection(row["key"] for row in post)
        new -= mine
        counts.append(len(mine))
    return counts


@cache
def _accept(dialect: str) -> sa.Executable:
    # Only the dialect in use is imported: the other one costs megabytes.
    module: Any = import_module(f"sqlalchemy.dialects.{dialect}")
    statement: sa.Executable = (
        module.insert(alerts).on_conflict_do_nothing(index_elements=["key"]).returning(alerts.c.key)
    )
    return statement


def unhandled(tx: Tx, limit: int) -> list[Notice]:
    """The oldest alerts that have not been applied to an incident."""
    return waiting(tx.connection, limit)


def waiting(connection: Connection, limit: int) -> list[Notice]:
    """As `unhandled`, for a reader."""
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
        for row in _WAITING.on(connection, {"limit_": limit})
    ]


def handled(tx: Tx, notice_id: int, incident_id: str | None) -> None:
    """This alert has been applied to this incident, or to none."""
    _HANDLED.on(tx.connection, {"notice": notice_id, "incident": incident_id})


_WAITING = Prepared(
    lambda: sa.select(alerts).where(UNHANDLED).order_by(alerts.c.id).limit(sa.bindparam("limit_", type_=sa.Integer))
)
_HANDLED = Prepared(
    lambda: (
        sa.update(alerts)
        .where(alerts.c.id == sa.bindparam("notice"))
        .values(handled=1, incident_id=sa.bindparam("incident"))
    )
)
_LATEST_STATUS = Prepared(
    lambda: (
        sa.select(alerts.c.status, alerts.c.starts_at)
        .where(alerts.c.fingerprint == sa.bindparam("fingerprint_"), alerts.c.handled == sa.literal_column("1"))
        .order_by(alerts.c.starts_at.desc(), (alerts.c.status == sa.literal_column("'resolved'")).desc())
        .limit(sa.literal_column("1"))
    )
)


def latest_status(tx: Tx, fingerprint: str) -> tuple[str, float] | None:
    """Status and startsAt of the newest applied alert of this fingerprint; a resolved one wins over its own firing."""
    row = _LATEST_STATUS.on(tx.connection, {"fingerprint_": fingerprint}).first()
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


def oldest_waiting(connection: Connection) -> float | None:
    """When the alert that waits longest was received; None where none waits."""
    received: float | None = _OLDEST.on(connection).scalar()
    return received


_OLDEST = Prepared(
    lambda: sa.select(alerts.c.received_at).where(UNHANDLED).order_by(alerts.c.id).limit(sa.literal_column("1"))
)


def counts(connection: Connection) -> dict[str, int]:
    """`waiting` and `quarantined`: rows now."""
    waiting = connection.execute(sa.select(sa.func.count()).select_from(alerts).where(UNHANDLED)).scalar_one()
    kept = connection.execute(sa.select(sa.func.count()).select_from(quarantine)).scalar_one()
    return {"waiting": waiting, "quarantined": kept}
