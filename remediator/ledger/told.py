"""What people have been told: once per occasion, by whichever replica."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.ledger.engine import Tx
from remediator.ledger.schema import told


def holds(connection: Connection, occasion: str) -> bool:
    """Were people told of this occasion?"""
    return connection.execute(sa.select(told.c.at).where(told.c.occasion == occasion)).first() is not None


def keep(tx: Tx, occasion: str, incident_id: str | None) -> None:
    """People were told of this just now; nothing happens when that is known already."""
    if not holds(tx.connection, occasion):
        tx.execute(sa.insert(told).values(occasion=occasion, incident_id=incident_id, at=tx.now))
