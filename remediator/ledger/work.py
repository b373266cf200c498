"""What waits to be done now, in one cheap question: it is asked at every look, by every replica."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.ledger.prepared import Prepared
from remediator.ledger.schema import ACTIVE, ALONE, KEPT, UNHANDLED, alerts, approvals, incidents, runs
from remediator.model import IncidentState, RunState

LIMIT = 16
"""Most runs of each kind that one answer names."""


@dataclass(frozen=True, slots=True)
class Due:
    """Are there alerts to apply and incidents to advance, and which runs are there to drive?"""

    notices: bool
    incidents: bool
    runs: tuple[tuple[str, str], ...]
    """Kind of work and run: `carry_on` (by hand or being given back, and no incident drives it), `settle_held` (by
    hand, and its approval is settled or has expired), `release` (its changes stand, and are to be given back)."""


def due(connection: Connection, now: float) -> Due:
    """What nobody works on and whose time has come."""
    found = [(kind, name) for kind, name in _DUE.on(connection, {"now": now})]
    kinds = {kind for kind, _ in found}
    return Due("notices" in kinds, "incidents" in kinds, tuple(each for each in found if each[0] not in _PLAIN))


_PLAIN = frozenset({"notices", "incidents"})
_NOW: sa.BindParameter[float] = sa.bindparam("now", type_=sa.Float)


def _line(kind: str, name: sa.ColumnElement[Any], limit: int, *which: sa.ColumnElement[bool]) -> sa.Select[str, str]:
    found = sa.select(name.label("name")).where(*which).limit(sa.literal_column(str(limit))).subquery()
    word: sa.ColumnElement[str] = sa.literal_column(f"'{kind}'")
    return sa.select(word.label("kind"), sa.cast(found.c.name, sa.Text).label("name"))


_FREE = runs.c.lease_until < _NOW
_DRIVEN = sa.exists().where(
    incidents.c.id == runs.c.incident_id,
    incidents.c.closed_at.is_(None),
    incidents.c.state.in_(
        [sa.literal_column(f"'{each.value}'") for each in (IncidentState.ACTING, IncidentState.VERIFYING)]
    ),
)
_SETTLED = sa.exists().where(
    approvals.c.run_id == runs.c.id, sa.or_(approvals.c.status != "pending", approvals.c.expires_at <= _NOW)
)
_BEING_DONE = runs.c.state.in_([sa.literal_column(f"'{each.value}'") for each in (RunState.RUNNING, RunState.UNDOING)])
_DUE = Prepared(
    lambda: sa.union_all(
        _line("notices", alerts.c.id, 1, UNHANDLED),
        _line(
            "incidents",
            incidents.c.id,
            1,
            incidents.c.closed_at.is_(None),
            incidents.c.wake_at <= _NOW,
            incidents.c.lease_until < _NOW,
        ),
        _line("carry_on", runs.c.id, LIMIT, ACTIVE, _BEING_DONE, _FREE, ~_DRIVEN),
        _line("settle_held", runs.c.id, LIMIT, ALONE, runs.c.state == RunState.HELD.value, _FREE, _SETTLED),
        _line("release", runs.c.id, LIMIT, KEPT, runs.c.release_at <= _NOW, _FREE),
    )
)
