"""What people have been told: once per occasion, by whichever replica."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.ledger.engine import Tx
from remediator.ledger.prepared import Prepared
from remediator.ledger.schema import told

_HOLDS = Prepared(lambda: sa.select(told.c.at).where(told.c.occasion == sa.bindparam("occasion_")))
_KEEP = Prepared(lambda: sa.insert(told))


def holds(connection: Connection, occasion: str) -> bool:
    """Were people told of this occasion?"""
    return _HOLDS.on(connection, {"occasion_": occasion}).first() is not None


def keep(tx: Tx, occasion: str, incident_id: str | None) -> None:
    """People were told of this just now; nothing happens when that is known already."""
    if not holds(tx.connection, occasion):
        _KEEP.on(tx.connection, {"occasion": occasion, "incident_id": incident_id, "at": tx.now})
