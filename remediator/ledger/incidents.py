"""Incidents as rows: claimed under a lease, moved only along `INCIDENT_MOVES`."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from catalog.model import Band
from remediator.errors import GraceError
from remediator.ledger.engine import Tx
from remediator.ledger.prepared import Prepared
from remediator.ledger.schema import ACTIVE, HEALED, incidents, runs
from remediator.model import INCIDENT_MOVES, Incident, IncidentState, Outcome, new_id


class LeaseLost(GraceError):
    """Somebody else works on this incident now: stop without another write."""


class ForbiddenMove(GraceError):
    """The state machine has no such move."""


def _incident(row: Any) -> Incident:
    return Incident(
        id=row.id,
        metric_id=row.metric_id,
        resource=row.resource,
        category=row.category,
        band=Band(row.band),
        opened_band=Band(row.opened_band),
        state=IncidentState(row.state),
        target=row.target,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        outcome=Outcome(row.outcome) if row.outcome else None,
        wake_at=row.wake_at,
        fence=row.fence,
        firing=row.firing,
        reason=row.reason,
        verdict=row.verdict,
        reasons=tuple(row.reasons),
        labels=row.labels,
        changed_at=row.changed_at,
        last_notice_at=row.last_notice_at,
        absent_polls=row.absent_polls,
        decided=row.decided,
    )


# Statements that every step of every run needs are made once: making one costs more than what the database does.
_ID: sa.BindParameter[str] = sa.bindparam("id_")
_GET = Prepared(lambda: sa.select(incidents).where(incidents.c.id == _ID))
_FENCE = Prepared(lambda: sa.select(incidents.c.fence).where(incidents.c.id == _ID))
_STATE = Prepared(lambda: sa.select(incidents.c.state, incidents.c.wake_at).where(incidents.c.id == _ID))
_OPEN_ONE = Prepared(
    lambda: sa.select(incidents).where(
        incidents.c.metric_id == sa.bindparam("metric_id_"),
        incidents.c.resource == sa.bindparam("resource_"),
        incidents.c.closed_at.is_(None),
    )
)
_NEW = Prepared(lambda: sa.insert(incidents))
_NOW: sa.BindParameter[float] = sa.bindparam("now_", type_=sa.Float)
_DUE = sa.and_(incidents.c.closed_at.is_(None), incidents.c.wake_at <= _NOW, incidents.c.lease_until < _NOW)
"""Its time has come, and nobody works on it."""
_WAITED_LONGEST = (
    sa.select(incidents.c.id)
    .where(_DUE)
    .order_by(incidents.c.wake_at)
    .limit(sa.bindparam("limit_", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)


def _claiming(which: sa.ColumnElement[bool]) -> Prepared:
    return Prepared(
        lambda: (
            sa.update(incidents)
            .where(which)
            .values(owner=sa.bindparam("owner_"), fence=incidents.c.fence + 1, lease_until=sa.bindparam("until_"))
            .returning(incidents)
        )
    )


_CLAIM_DUE = _claiming(incidents.c.id.in_(_WAITED_LONGEST))
_CLAIM_ONE = _claiming(sa.and_(incidents.c.id == _ID, _DUE))
_WAKE_FOR_TARGET = Prepared(
    lambda: (
        sa.update(incidents)
        .where(
            incidents.c.closed_at.is_(None),
            incidents.c.target == sa.bindparam("target_"),
            incidents.c.state.in_(
                [sa.literal_column(f"'{each.value}'") for each in (IncidentState.OPEN, IncidentState.COOLING)]
            ),
        )
        .values(wake_at=_NOW)
    )
)
_BUSY_WITH_TARGET = Prepared(
    lambda: (
        sa.select(incidents.c.id)
        .join(runs, runs.c.incident_id == incidents.c.id)
        .where(
            incidents.c.closed_at.is_(None),
            incidents.c.target == sa.bindparam("target_"),
            incidents.c.id != _ID,
            ACTIVE,
        )
        .limit(sa.literal_column("1"))
    )
)


@cache
def _change(names: tuple[str, ...], *, fenced: bool) -> Prepared:
    """Set these columns of an open incident; with `fenced`, as far as the claim is still that of `fence_`."""
    claim = (incidents.c.fence == sa.bindparam("fence_"),) if fenced else ()
    return Prepared(
        lambda: (
            sa.update(incidents)
            .where(incidents.c.id == _ID, incidents.c.closed_at.is_(None), *claim)
            .values({name: sa.bindparam(f"new_{name}") for name in names})
        )
    )


def get(connection: Connection, incident_id: str) -> Incident | None:
    row = _GET.on(connection, {"id_": incident_id}).first()
    return _incident(row) if row else None


def find(connection: Connection, prefix: str) -> list[str]:
    """Ids that begin with this (at most two: enough to know whether it is unique)."""
    query = sa.select(incidents.c.id).where(incidents.c.id.startswith(prefix, autoescape=True)).limit(2)
    return [row[0] for row in connection.execute(query)]


def open_one(connection: Connection, metric_id: str, resource: str) -> Incident | None:
    """The open incident of this metric and resource."""
    row = _OPEN_ONE.on(connection, {"metric_id_": metric_id, "resource_": resource}).first()
    return _incident(row) if row else None


def all_open(connection: Connection) -> list[Incident]:
    query = sa.select(incidents).where(incidents.c.closed_at.is_(None)).order_by(incidents.c.opened_at)
    return [_incident(row) for row in connection.execute(query)]


def listing(
    connection: Connection, *, limit: int, cursor: str | None = None, states: tuple[str, ...] = ()
) -> list[Incident]:
    """Newest first, older than `cursor` (an id)."""
    query = sa.select(incidents).order_by(incidents.c.id.desc()).limit(limit)
    if cursor:
        query = query.where(incidents.c.id < cursor)
    if states:
        query = query.where(incidents.c.state.in_(states))
    return [_incident(row) for row in connection.execute(query)]


def open_new(
    tx: Tx,
    *,
    metric_id: str,
    resource: str,
    category: str,
    band: Band,
    target: str | None,
    firing: dict[str, str],
    labels: dict[str, str],
) -> str:
    """A new incident, due now; its id."""
    incident_id = new_id("inc", tx.now)
    _NEW.on(
        tx.connection,
        {
            "id": incident_id,
            "metric_id": metric_id,
            "resource": resource,
            "category": category,
            "band": band.value,
            "opened_band": band.value,
            "state": IncidentState.OPEN.value,
            "target": target,
            "opened_at": tx.now,
            "changed_at": tx.now,
            "wake_at": tx.now,
            "firing": firing,
            "labels": labels,
            "last_notice_at": tx.now,
            "reasons": [],
        },
    )
    return incident_id


def next_wake(connection: Connection) -> float | None:
    """When the next open incident is due."""
    query = sa.select(sa.func.min(sa.func.max(incidents.c.wake_at, incidents.c.lease_until))).where(
        incidents.c.closed_at.is_(None), incidents.c.wake_at.is_not(None)
    )
    if connection.dialect.name == "postgresql":
        query = sa.select(sa.func.min(sa.func.greatest(incidents.c.wake_at, incidents.c.lease_until))).where(
            incidents.c.closed_at.is_(None), incidents.c.wake_at.is_not(None)
        )
    value = connection.execute(query).scalar()
    return None if value is None else float(value)


def claim_due(tx: Tx, owner: str, lease: float, limit: int) -> list[Incident]:
    """Take at most `limit` incidents that are due, those that waited longest first, for `lease` seconds.

    Each claim raises the fence: whoever had it before can write nothing any more.
    """
    claimed = {"now_": tx.now, "limit_": limit, "owner_": owner, "until_": tx.now + lease}
    return [_incident(row) for row in _CLAIM_DUE.on(tx.connection, claimed)]


def claim(tx: Tx, incident_id: str, owner: str, lease: float) -> Incident | None:
    """Take this incident if it is due; None when it is not, or somebody was faster."""
    claimed = {"id_": incident_id, "now_": tx.now, "owner_": owner, "until_": tx.now + lease}
    row = _CLAIM_ONE.on(tx.connection, claimed).first()
    return _incident(row) if row else None


def check(tx: Tx, incident: Incident) -> None:
    """Nothing when the claim is still ours. Raises LeaseLost when somebody else has it."""
    fence = _FENCE.on(tx.connection, {"id_": incident.id}).scalar()
    if fence != incident.fence:
        raise LeaseLost(f"incident {incident.id} is no longer ours")


def keep(tx: Tx, ids: Collection[str], owner: str, lease: float) -> None:
    """Hold these claims, as far as they are still `owner`'s, for `lease` seconds from now at least."""
    until = tx.now + lease
    tx.execute(
        sa.update(incidents)
        .where(
            incidents.c.id.in_(ids),
            incidents.c.owner == owner,
            incidents.c.lease_until > 0,
            incidents.c.lease_until < until,
        )
        .values(lease_until=until)
    )


def give_back(tx: Tx, incident: Incident, wake_at: float) -> None:
    """End the claim with nothing done; it is due again then. Raises LeaseLost."""
    _fenced(tx, incident, lease_until=0, wake_at=wake_at)


def renew(tx: Tx, incident: Incident, lease: float) -> None:
    """Hold the claim for `lease` seconds more, in the transaction that journals an intent. Raises LeaseLost."""
    _fenced(tx, incident, lease_until=tx.now + lease)


def _fenced(tx: Tx, incident: Incident, **values: Any) -> None:
    new = {f"new_{name}": value for name, value in values.items()}
    which = {"id_": incident.id, "fence_": incident.fence}
    changed = _change(tuple(values), fenced=True).on(tx.connection, {**which, **new})
    if changed.rowcount != 1:
        raise LeaseLost(f"incident {incident.id} is no longer ours")


def move(
    tx: Tx,
    incident: Incident,
    state: IncidentState,
    *,
    reason: str,
    wake_at: float | None,
    outcome: Outcome | None = None,
    **values: Any,
) -> None:
    """Bring the incident to `state` (or keep it there with a new wake time), and record it.

    The claim is given back, unless the incident is due at once: whoever has it goes on.

    Raises ForbiddenMove for a move that the state machine lacks, LeaseLost when the claim is gone.
    """
    row = _STATE.on(tx.connection, {"id_": incident.id}).one()
    current = row.state
    if row.wake_at is not None and row.wake_at != incident.wake_at:
        # Somebody woke it (an alert, an approval) since it was claimed: that must not be slept through.
        wake_at = row.wake_at if wake_at is None else min(wake_at, row.wake_at)
    if state.value != current and state not in INCIDENT_MOVES[IncidentState(current)]:
        raise ForbiddenMove(f"an incident cannot go from {current} to {state.value}")
    closed = state is IncidentState.CLOSED
    changes: dict[str, Any] = {"state": state.value, "reason": reason, "wake_at": None if closed else wake_at, **values}
    if closed or wake_at is None or wake_at > tx.now:
        changes["lease_until"] = 0
    if closed:
        changes |= {"closed_at": tx.now, "outcome": outcome.value if outcome else None}
    if state.value != current:
        changes["changed_at"] = tx.now
    _fenced(tx, incident, **changes)
    if state.value != current:
        body: dict[str, Any] = {"from": current, "to": state.value, "reason": reason}
        if outcome:
            body["outcome"] = outcome.value
        tx.record("incident_moved", body, incident_id=incident.id)


def set_fields(tx: Tx, incident_id: str, **values: Any) -> None:
    """Change fields of an open incident that are nobody's claim (firing alerts, wake time)."""
    new = {f"new_{name}": value for name, value in values.items()}
    _change(tuple(values), fenced=False).on(tx.connection, {"id_": incident_id, **new})


def wake(tx: Tx, incident_id: str) -> None:
    """Make an open incident due now."""
    set_fields(tx, incident_id, wake_at=tx.now)


def wake_for_target(tx: Tx, target: str) -> None:
    """A target became free: whoever waits for it may be judged afresh."""
    _WAKE_FOR_TARGET.on(tx.connection, {"target_": target, "now_": tx.now})


def busy_with_target(connection: Connection, incident: Incident) -> str | None:
    """Another open incident on the same target that has a run going; its id."""
    if incident.target is None:
        return None
    found = _BUSY_WITH_TARGET.on(connection, {"target_": incident.target, "id_": incident.id}).scalar()
    return None if found is None else str(found)


def counts(connection: Connection) -> dict[str, int]:
    """Open incidents by state."""
    query = (
        sa.select(incidents.c.state, sa.func.count()).where(incidents.c.closed_at.is_(None)).group_by(incidents.c.state)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def troubled(
    connection: Connection, *, quiet: Collection[IncidentState], unproven: str
) -> tuple[set[str], set[tuple[str, str]]]:
    """Targets that have a confirmed open incident; and metric and resource of those that have no target.

    Not counted: states that are `quiet`, alerts that have ended, and incidents not judged yet or with the reason
    `unproven`. Asked at every decision, so that the database does the counting.
    """
    found = _troubled(frozenset(quiet), unproven).on(connection).tuples()
    targets = {target for target, _, _ in found}
    targets.discard(None)
    return targets, {(metric_id, resource) for _, metric_id, resource in found if metric_id is not None}


@cache
def _troubled(quiet: frozenset[IncidentState], unproven: str) -> Prepared:
    counted = (
        incidents.c.closed_at.is_(None),
        incidents.c.state.not_in([sa.literal_column(f"'{state.value}'") for state in sorted(quiet)]),
        incidents.c.verdict.is_not(None),
        sa.cast(incidents.c.reasons, sa.Text).not_like(f'%"{unproven}"%'),
        sa.cast(incidents.c.firing, sa.Text) != "{}",
    )
    # Of those with a target, only that: ten thousand incidents on one target are one row, found in one pass.
    alone = incidents.c.target.is_(None)
    columns = (
        incidents.c.target,
        sa.case((alone, incidents.c.metric_id)).label("metric_id"),
        sa.case((alone, incidents.c.resource)).label("resource"),
    )
    return Prepared(lambda: sa.select(*columns).where(*counted).distinct())


def heals_since(connection: Connection, metric_id: str, resource: str, since: float) -> int:
    """How often this metric and resource were healed by Grace since then."""
    asked = {"metric_id_": metric_id, "resource_": resource, "since_": since}
    return int(_HEALS_SINCE.on(connection, asked).scalar())


_HEALS_SINCE = Prepared(
    lambda: (
        sa.select(sa.func.count())
        .select_from(incidents)
        .where(
            incidents.c.metric_id == sa.bindparam("metric_id_"),
            incidents.c.resource == sa.bindparam("resource_"),
            HEALED,
            incidents.c.closed_at >= sa.bindparam("since_"),
        )
    )
)
