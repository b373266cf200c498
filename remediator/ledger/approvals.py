"""Approvals: bound to the digest of one exact plan, with an expiry, settled by the database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from catalog.model import Tier
from remediator.errors import Refused
from remediator.ledger.engine import Tx
from remediator.ledger.prepared import Prepared
from remediator.ledger.schema import approvals, runs, tokens, votes
from remediator.model import Approval, new_id

_ONE: sa.ColumnClause[int] = sa.literal_column("1")


def _select() -> sa.Select[Any]:
    given = (
        sa.select(sa.func.count())
        .select_from(votes)
        .where(votes.c.approval_id == approvals.c.id, votes.c.vote == sa.literal_column("'approve'"))
        .scalar_subquery()
        .label("given")
    )
    return sa.select(approvals, given)


_GET = Prepared(lambda: _select().where(approvals.c.id == sa.bindparam("approval_")))
_OF_RUN = Prepared(
    lambda: _select().where(approvals.c.run_id == sa.bindparam("run_")).order_by(approvals.c.id.desc()).limit(_ONE)
)


def _approval(row: Any) -> Approval:
    return Approval(
        id=row.id,
        run_id=row.run_id,
        incident_id=row.incident_id,
        plan_digest=row.plan_digest,
        tier=Tier(row.tier),
        status=row.status,
        needed=row.needed,
        given=row.given,
        created_at=row.created_at,
        expires_at=row.expires_at,
        reason=row.reason,
        policy=row.policy,
    )


def get(connection: Connection, approval_id: str) -> Approval | None:
    row = _GET.on(connection, {"approval_": approval_id}).first()
    return _approval(row) if row else None


def find(connection: Connection, prefix: str) -> list[str]:
    query = sa.select(approvals.c.id).where(approvals.c.id.startswith(prefix, autoescape=True)).limit(2)
    return [row[0] for row in connection.execute(query)]


def of_run(connection: Connection, run_id: str) -> Approval | None:
    """The newest approval asked for this run."""
    row = _OF_RUN.on(connection, {"run_": run_id}).first()
    return _approval(row) if row else None


def listing(
    connection: Connection, *, limit: int, cursor: str | None = None, states: tuple[str, ...] = ()
) -> list[Approval]:
    """Newest first."""
    query = _select().order_by(approvals.c.id.desc()).limit(limit)
    if cursor:
        query = query.where(approvals.c.id < cursor)
    if states:
        query = query.where(approvals.c.status.in_(states))
    return [_approval(row) for row in connection.execute(query)]


def votes_of(connection: Connection, approval_id: str) -> list[dict[str, Any]]:
    query = sa.select(votes).where(votes.c.approval_id == approval_id).order_by(votes.c.at)
    return [
        {"name": row.name, "vote": row.vote, "reason": row.reason, "at": row.at} for row in connection.execute(query)
    ]


def pending_count(connection: Connection) -> int:
    query = sa.select(sa.func.count()).select_from(approvals).where(approvals.c.status == "pending")
    return int(connection.execute(query).scalar_one())


def oldest_pending(connection: Connection) -> float | None:
    """When the oldest pending approval was asked (epoch seconds)."""
    query = sa.select(sa.func.min(approvals.c.created_at)).where(approvals.c.status == "pending")
    value = connection.execute(query).scalar()
    return None if value is None else float(value)


def ask(
    tx: Tx,
    *,
    run_id: str,
    incident_id: str | None,
    digest: str,
    policy: str,
    tier: Tier,
    needed: int,
    expires_at: float,
) -> str:
    """A new approval, pending; its id. Recorded.

    It is bound to the plan's `digest` and to the version of the `policy` under which it was asked.
    """
    approval_id = new_id("app", tx.now)
    tx.execute(
        sa.insert(approvals).values(
            id=approval_id,
            run_id=run_id,
            incident_id=incident_id,
            plan_digest=digest,
            tier=int(tier),
            status="pending",
            needed=needed,
            created_at=tx.now,
            expires_at=expires_at,
            policy=policy,
        )
    )
    body = {"digest": digest, "policy": policy, "tier": str(tier), "needed": needed, "expires_at": expires_at}
    tx.record(
        "approval_asked",
        {"approval": approval_id, **body},
        incident_id=incident_id,
        run_id=run_id,
    )
    return approval_id


def vote(tx: Tx, approval_id: str, *, name: str, vote: str, reason: str) -> Approval:
    """Count one person's vote; the approval as it then is. Recorded.

    Raises Refused when it is no longer pending, has expired, or when this person has voted already.
    """
    approval = get(tx.connection, approval_id)
    if approval is None:
        raise Refused(f"there is no approval {approval_id}", reason="unknown")
    if approval.status != "pending":
        raise Refused(f"this approval is {approval.status} already", reason="settled")
    if approval.expires_at <= tx.now:
        raise Refused("this approval has expired; the plan is judged afresh", reason="expired")
    if vote == "approve" and approval.needed > 1 and _approvers(tx.connection, approval) < approval.needed:
        raise Refused(
            f"{approval.needed} distinct people must approve this plan, and fewer hold a token that may: "
            "add one with `grace tokens add NAME --role approver`",
            reason="too_few_people",
        )
    try:
        tx.execute(sa.insert(votes).values(approval_id=approval_id, name=name, vote=vote, reason=reason, at=tx.now))
    except sa.exc.IntegrityError as error:
        raise Refused(f"{name} has voted on this approval already; another person must", reason="voted") from error
    tx.record(
        "approval_vote",
        {"approval": approval_id, "vote": vote, "reason": reason, "digest": approval.plan_digest},
        incident_id=approval.incident_id,
        run_id=approval.run_id,
        actor=name,
    )
    if vote == "reject":
        settle(tx, approval, "rejected", reason or f"rejected by {name}", actor=name)
    elif approval.given + 1 >= approval.needed:
        settle(tx, approval, "approved", reason or f"approved by {name}", actor=name)
    settled = get(tx.connection, approval_id)
    assert settled is not None
    return settled


def settle(tx: Tx, approval: Approval, status: str, reason: str, *, actor: str = "grace") -> None:
    """End a pending approval (approved, rejected, expired, void). Recorded; nothing happens to one that has ended."""
    _end(tx, approval, status, reason, ("pending",), actor)


def void(tx: Tx, approval: Approval, reason: str) -> None:
    """End an approval whose plan will not run, also one that was given. Recorded; nothing happens to any other."""
    _end(tx, approval, "void", reason, ("pending", "approved"), "grace")


def _end(tx: Tx, approval: Approval, status: str, reason: str, among: tuple[str, ...], actor: str) -> None:
    changed = tx.execute(
        sa.update(approvals)
        .where(approvals.c.id == approval.id, approvals.c.status.in_(among))
        .values(status=status, reason=reason, decided_at=tx.now)
    )
    if changed.rowcount:
        tx.record(
            f"approval_{status}",
            {"approval": approval.id, "reason": reason},
            incident_id=approval.incident_id,
            run_id=approval.run_id,
            actor=actor,
        )


def _approvers(connection: Connection, approval: Approval) -> int:
    """How many people hold a token that may approve this plan."""
    group = connection.execute(sa.select(runs.c.group).where(runs.c.id == approval.run_id)).scalar()
    query = sa.select(tokens.c.target_groups).where(
        tokens.c.role.in_(["approver", "operator", "admin"]), tokens.c.revoked_at.is_(None)
    )
    return sum(1 for (groups,) in connection.execute(query) if not groups or group in groups)
