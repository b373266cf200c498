"""What people and safety ratchets set at run time. It wins over files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.ledger.engine import Tx
from remediator.ledger.prepared import Prepared
from remediator.ledger.schema import holds, settings

_ALL = Prepared(lambda: sa.select(settings.c.name, settings.c.value))
_AUTHORS = Prepared(lambda: sa.select(settings.c.name, settings.c.by))
_HELD = Prepared(
    lambda: sa.select(holds).where(holds.c.until > sa.bindparam("now_", type_=sa.Float)).order_by(holds.c.target)
)


def load(connection: Connection) -> dict[str, Any]:
    """Every setting by name."""
    return {row.name: row.value for row in _ALL.on(connection)}


def authors(connection: Connection) -> dict[str, str]:
    """Who set each setting last."""
    return {row.name: row.by for row in _AUTHORS.on(connection)}


def put(tx: Tx, changes: Mapping[str, Any], *, by: str, reason: str, run_id: str | None = None) -> dict[str, Any]:
    """Change settings; all of them as they then are. Recorded with what they were."""
    before = load(tx.connection)
    for name, value in changes.items():
        tx.execute(sa.delete(settings).where(settings.c.name == name))
        tx.execute(sa.insert(settings).values(name=name, value=value, by=by, at=tx.now, reason=reason))
    tx.record(
        "governance_changed",
        {"before": {name: before.get(name) for name in changes}, "after": dict(changes), "reason": reason},
        actor=by,
        run_id=run_id,
    )
    return {**before, **changes}


def put_quietly(tx: Tx, name: str, value: Any) -> None:
    """A setting that is bookkeeping, not governance: not recorded."""
    tx.execute(sa.delete(settings).where(settings.c.name == name))
    tx.execute(sa.insert(settings).values(name=name, value=value, by="grace", at=tx.now, reason=""))


def held(connection: Connection, now: float) -> list[dict[str, Any]]:
    """Targets on hold now."""
    return [
        {"target": row.target, "until": row.until, "by": row.by, "reason": row.reason}
        for row in _HELD.on(connection, {"now_": now})
    ]


def hold(tx: Tx, target: str, *, until: float, by: str, reason: str) -> None:
    """Nothing new starts on this target until then."""
    tx.execute(sa.delete(holds).where(holds.c.target == target))
    tx.execute(sa.insert(holds).values(target=target, until=until, by=by, at=tx.now, reason=reason))
    tx.record("target_held", {"target": target, "until": until, "reason": reason}, actor=by)


def unhold(tx: Tx, target: str, *, by: str, reason: str) -> bool:
    """End a hold; was there one?"""
    gone = tx.execute(sa.delete(holds).where(holds.c.target == target, holds.c.until > tx.now)).rowcount
    if gone:
        tx.record("target_unheld", {"target": target, "reason": reason}, actor=by)
    return bool(gone)
