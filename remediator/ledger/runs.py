"""Runs and their steps: intent journaled before the effect, result after it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from catalog.model import Tier, Verb
from remediator.errors import GraceError
from remediator.ledger.engine import Tx
from remediator.ledger.incidents import ForbiddenMove, LeaseLost
from remediator.ledger.prepared import Prepared
from remediator.ledger.schema import ACTIVE, KEPT, incidents, runs, steps, track_records
from remediator.model import RUN_MOVES, Plan, PlannedStep, Run, RunState, Step, new_id

VERIFIED_BY_METRIC = (
    RunState.HEALED.value,
    RunState.INEFFECTIVE.value,
    RunState.ROLLED_BACK.value,
    RunState.UNDO_FAILED.value,
)


# Statements that every run needs are made once: making one costs more than what the database does.
_RUN: sa.BindParameter[str] = sa.bindparam("run_")
_OF_INCIDENT = Prepared(
    lambda: sa.select(runs).where(runs.c.incident_id == sa.bindparam("incident_")).order_by(runs.c.id)
)
_STEPS_OF = Prepared(
    lambda: sa.select(steps).where(steps.c.run_id == _RUN).order_by(steps.c.intended_at, steps.c.index)
)
_GET = Prepared(lambda: sa.select(runs).where(runs.c.id == _RUN))
_STATE = Prepared(lambda: sa.select(runs.c.state, runs.c.incident_id).where(runs.c.id == _RUN))
_FENCE = Prepared(lambda: sa.select(runs.c.fence).where(runs.c.id == _RUN))
_NEW = Prepared(lambda: sa.insert(runs))
_WHICH = (steps.c.run_id == _RUN, steps.c.phase == sa.bindparam("phase_"), steps.c.index == sa.bindparam("index_"))
_ATTEMPTS = Prepared(lambda: sa.select(steps.c.attempts).where(*_WHICH))
_NEW_STEP = Prepared(lambda: sa.insert(steps))
_INTEND_AGAIN = Prepared(
    lambda: sa.update(steps).where(*_WHICH).values(state="intended", attempts=sa.bindparam("attempts_"), error=None)
)
_FINISH = Prepared(
    lambda: (
        sa.update(steps)
        .where(*_WHICH)
        .values(
            state=sa.bindparam("state_"),
            after=sa.bindparam("after_"),
            error=sa.bindparam("error_"),
            ended_at=sa.bindparam("now_"),
        )
    )
)
_BEGAN = runs.c.started_at.is_not(None)
_THIS_PLAYBOOK = runs.c.playbook_id == sa.bindparam("playbook_")
_THIS_TARGET = runs.c.target == sa.bindparam("target_")
_THIS_GROUP = runs.c.group == sa.bindparam("group_")
_LAST = Prepared(lambda: sa.select(sa.func.max(runs.c.started_at)).where(_BEGAN, _THIS_PLAYBOOK, _THIS_TARGET))
_COUNTED_STARTS = sa.select(sa.func.count()).select_from(runs).where(runs.c.started_at > sa.bindparam("hour_"))
_STARTED = Prepared(lambda: _COUNTED_STARTS)
_STARTED_ON_TARGET = Prepared(lambda: _COUNTED_STARTS.where(_THIS_TARGET))
_ACTIVE_ON_TARGET = Prepared(lambda: sa.select(runs.c.id).where(_THIS_TARGET, ACTIVE))
_ACTIVE_IN_GROUP = Prepared(lambda: sa.select(sa.func.count()).select_from(runs).where(_THIS_GROUP, ACTIVE))
_CHANGED = Prepared(
    lambda: sa.select(runs.c.target).where(_BEGAN, _THIS_GROUP, runs.c.started_at > sa.bindparam("since_")).distinct()
)
_OUTCOMES = Prepared(
    lambda: (
        sa.select(runs.c.outcome, sa.func.count())
        .where(_THIS_PLAYBOOK, runs.c.outcome.in_([sa.literal_column(f"'{each}'") for each in VERIFIED_BY_METRIC]))
        .group_by(runs.c.outcome)
    )
)
_TRACK_RECORD = Prepared(
    lambda: sa.select(track_records).where(track_records.c.playbook_id == sa.bindparam("playbook_"))
)
_KEPT_LATER = Prepared(
    lambda: (
        sa.select(runs.c.id)
        .where(_THIS_TARGET, runs.c.id > _RUN, KEPT, runs.c.release_at.is_not(None))
        .limit(sa.literal_column("1"))
    )
)
_RENEW = Prepared(
    lambda: (
        sa.update(runs)
        .where(runs.c.id == _RUN, runs.c.fence == sa.bindparam("fence_"))
        .values(lease_until=sa.bindparam("until_"))
    )
)


@cache
def _change(names: tuple[str, ...]) -> Prepared:
    return Prepared(
        lambda: sa.update(runs).where(runs.c.id == _RUN).values({name: sa.bindparam(f"new_{name}") for name in names})
    )


class TargetBusy(GraceError):
    """Another run has this target: the database said so."""


def _run(row: Any) -> Run:
    return Run(
        id=row.id,
        incident_id=row.incident_id,
        playbook_id=row.playbook_id,
        target=row.target,
        group=row.group,
        tier=Tier(row.tier),
        state=RunState(row.state),
        outcome=row.outcome,
        verdict=row.verdict,
        reasons=tuple(row.reasons),
        confidence=row.confidence,
        evidence=row.evidence,
        digest=row.digest,
        plan=tuple(PlannedStep.from_json(step) for step in row.plan),
        by=row.by,
        created_at=row.created_at,
        started_at=row.started_at,
        acted_at=row.acted_at,
        verify_until=row.verify_until,
        ended_at=row.ended_at,
        reason=row.reason,
        kept=bool(row.kept),
        release_at=row.release_at,
        released_steps=row.released_steps,
        fence=row.fence,
    )


def _step(row: Any) -> Step:
    return Step(
        run_id=row.run_id,
        phase=row.phase,
        index=row.index,
        verb=Verb(row.verb),
        target=row.target,
        driver=row.driver,
        before=row.before,
        desired=row.desired,
        after=row.after,
        state=row.state,
        attempts=row.attempts,
        intended_at=row.intended_at,
        ended_at=row.ended_at,
        error=row.error,
    )


def get(connection: Connection, run_id: str) -> Run | None:
    row = _GET.on(connection, {"run_": run_id}).first()
    return _run(row) if row else None


def find(connection: Connection, prefix: str) -> list[str]:
    query = sa.select(runs.c.id).where(runs.c.id.startswith(prefix, autoescape=True)).limit(2)
    return [row[0] for row in connection.execute(query)]


def listing(
    connection: Connection,
    *,
    limit: int,
    cursor: str | None = None,
    states: tuple[str, ...] = (),
    everything: bool = False,
) -> list[Run]:
    """Newest first. Plans that never began (held, refused, expired) only with `everything` or by their state."""
    query = sa.select(runs).order_by(runs.c.id.desc()).limit(limit)
    if cursor:
        query = query.where(runs.c.id < cursor)
    if states:
        query = query.where(runs.c.state.in_(states))
    elif not everything:
        query = query.where(runs.c.started_at.is_not(None))
    return [_run(row) for row in connection.execute(query)]


def of_incident(connection: Connection, incident_id: str) -> list[Run]:
    """Its runs, oldest first, plans that never began included."""
    return [_run(row) for row in _OF_INCIDENT.on(connection, {"incident_": incident_id})]


def steps_of(connection: Connection, run_id: str) -> list[Step]:
    return [_step(row) for row in _STEPS_OF.on(connection, {"run_": run_id})]


def create(
    tx: Tx,
    plan: Plan,
    *,
    incident_id: str | None,
    state: RunState,
    verdict: str,
    reasons: tuple[str, ...],
    confidence: float,
    evidence: str,
    by: str,
    reason: str = "",
    run_id: str | None = None,
) -> str:
    """A new run in `state`; its id."""
    run_id = run_id or new_id("run", tx.now)
    _NEW.on(
        tx.connection,
        {
            "id": run_id,
            "incident_id": incident_id,
            "playbook_id": plan.playbook_id,
            "target": plan.target,
            "group": plan.group,
            "tier": int(plan.tier),
            "state": state.value,
            "verdict": verdict,
            "reasons": list(reasons),
            "confidence": confidence,
            "evidence": evidence,
            "digest": plan.digest,
            "plan": [step.as_json() for step in plan.steps],
            "by": by,
            "created_at": tx.now,
            "ended_at": tx.now if state.final else None,
            "reason": reason,
        },
    )
    return run_id


def move(tx: Tx, run_id: str, state: RunState, **values: Any) -> None:
    """Bring a run to `state`, and record it. Raises ForbiddenMove, or TargetBusy when another run has its target."""
    row = _STATE.on(tx.connection, {"run_": run_id}).one()
    current = RunState(row.state)
    if state is not current and state not in RUN_MOVES[current]:
        raise ForbiddenMove(f"a run cannot go from {current.value} to {state.value}")
    changes: dict[str, Any] = {"state": state.value, "active": int(state.active), **values}
    if state.final and state is not current:
        changes.setdefault("ended_at", tx.now)
        changes.setdefault("outcome", state.value)
    try:
        update(tx, run_id, **changes)
    except sa.exc.IntegrityError as error:
        raise TargetBusy("another run on this target has not ended") from error
    if state is not current:
        told = {key: value for key, value in values.items() if key in ("reason", "verdict", "reasons", "confidence")}
        tx.record(
            "run_moved", {"from": current.value, "to": state.value, **told}, run_id=run_id, incident_id=row.incident_id
        )


def update(tx: Tx, run_id: str, **values: Any) -> None:
    """Change fields that are not the state."""
    new = {f"new_{name}": value for name, value in values.items()}
    _change(tuple(values)).on(tx.connection, {"run_": run_id, **new})


def intend(tx: Tx, run: Run, phase: str, index: int, step: PlannedStep) -> int:
    """Journal that a step is about to be done; its number of attempts, this one included."""
    which = {"run_": run.id, "phase_": phase, "index_": index}
    attempts: int | None = _ATTEMPTS.on(tx.connection, which).scalar()
    if attempts is None:
        attempts = 1
        _NEW_STEP.on(
            tx.connection,
            {
                "run_id": run.id,
                "phase": phase,
                "index": index,
                "verb": step.verb.value,
                "target": step.target,
                "driver": step.driver,
                "before": dict(step.before),
                "desired": dict(step.desired),
                "state": "intended",
                "attempts": 1,
                "intended_at": tx.now,
            },
        )
    else:
        attempts += 1
        _INTEND_AGAIN.on(tx.connection, {**which, "attempts_": attempts})
    tx.record(
        "step_intended",
        {
            "phase": phase,
            "step": index,
            "attempt": attempts,
            "verb": step.verb.value,
            "target": step.target,
            "driver": step.driver,
            "before": dict(step.before),
            "desired": dict(step.desired),
        },
        run_id=run.id,
        incident_id=run.incident_id,
    )
    return attempts


def finish(
    tx: Tx, run: Run, phase: str, index: int, *, after: Mapping[str, Any] | None, error: str | None = None
) -> None:
    """Journal what came of a step."""
    state = "failed" if error else "done"
    came = {"state_": state, "after_": None if after is None else dict(after), "error_": error, "now_": tx.now}
    _FINISH.on(tx.connection, {"run_": run.id, "phase_": phase, "index_": index, **came})
    body: dict[str, Any] = {"phase": phase, "step": index, "result": state}
    if after is not None:
        body["after"] = dict(after)
    if error:
        body["error"] = error
    tx.record(f"step_{state}", body, run_id=run.id, incident_id=run.incident_id)


@dataclass(frozen=True, slots=True)
class History:
    """What the ledger knows about a plan's past: the facts that governance counts."""

    last_of_playbook_on_target: float | None
    started_last_hour_target: int
    started_last_hour_all: int
    active_on_target: str | None
    active_in_group: int
    group_targets_changed: frozenset[str]


def history(
    connection: Connection, *, playbook_id: str, target: str, group: str, now: float, blast_within: float
) -> History:
    """Counted in the transaction that decides, so that two decisions never share a budget."""
    on_target, in_group, an_hour = {"target_": target}, {"group_": group}, {"hour_": now - 3600}
    return History(
        last_of_playbook_on_target=_LAST.on(connection, {"playbook_": playbook_id, **on_target}).scalar(),
        started_last_hour_target=_STARTED_ON_TARGET.on(connection, {**an_hour, **on_target}).scalar(),
        started_last_hour_all=_STARTED.on(connection, an_hour).scalar(),
        active_on_target=_ACTIVE_ON_TARGET.on(connection, on_target).scalar(),
        active_in_group=_ACTIVE_IN_GROUP.on(connection, in_group).scalar(),
        group_targets_changed=frozenset(
            row[0] for row in _CHANGED.on(connection, {**in_group, "since_": now - blast_within})
        ),
    )


def outcomes(connection: Connection, playbook_id: str) -> tuple[int, int]:
    """Verified outcomes of a playbook so far: how often it healed, how often it did not.

    Those of runs that retention has let go of count too.
    """
    found = {row[0]: row[1] for row in _OUTCOMES.on(connection, {"playbook_": playbook_id})}
    healed = found.pop(RunState.HEALED.value, 0)
    long_ago = _TRACK_RECORD.on(connection, {"playbook_": playbook_id}).first()
    return healed + (long_ago.healed if long_ago else 0), sum(found.values()) + (long_ago.others if long_ago else 0)


def keep_outcomes(tx: Tx, ids: Collection[str]) -> None:
    """Add the verified outcomes of these runs to their playbooks' numbers: the runs are about to go."""
    healed = sa.func.sum(sa.case((runs.c.outcome == RunState.HEALED.value, 1), else_=0))
    query = (
        sa.select(runs.c.playbook_id, healed.label("healed"), sa.func.count().label("verified"))
        .where(runs.c.id.in_(ids), runs.c.outcome.in_(VERIFIED_BY_METRIC))
        .group_by(runs.c.playbook_id)
    )
    found: list[tuple[str, int, int]] = [(row.playbook_id, row.healed, row.verified) for row in tx.execute(query)]
    for playbook_id, good, verified in found:
        mine = track_records.c.playbook_id == playbook_id
        more = {"healed": track_records.c.healed + good, "others": track_records.c.others + verified - good}
        if not tx.execute(sa.update(track_records).where(mine).values(**more)).rowcount:
            first = {"playbook_id": playbook_id, "healed": good, "others": verified - good}
            tx.execute(sa.insert(track_records).values(**first))


def autonomy(connection: Connection, since: float) -> dict[str, int]:
    """Runs verified by metric that ended since then: all, healed, rolled back, and those nobody had to approve."""
    query = sa.select(runs.c.outcome, runs.c.verdict, sa.func.count()).where(
        runs.c.ended_at > since, runs.c.outcome.in_(VERIFIED_BY_METRIC)
    )
    result = {"verified": 0, "healed": 0, "rolled_back": 0, "alone": 0}
    for outcome, verdict, count in connection.execute(query.group_by(runs.c.outcome, runs.c.verdict)):
        result["verified"] += count
        if outcome == RunState.HEALED.value:
            result["healed"] += count
        if outcome in (RunState.ROLLED_BACK.value, RunState.UNDO_FAILED.value):
            result["rolled_back"] += count
        if verdict == "allow":
            result["alone"] += count
    return result


def claim(tx: Tx, run_id: str, owner: str, lease: float) -> Run | None:
    """Take a run that no incident drives for `lease` seconds; None when somebody was faster."""
    taken = tx.execute(
        sa.update(runs)
        .where(runs.c.id == run_id, runs.c.lease_until < tx.now)
        .values(owner=owner, fence=runs.c.fence + 1, lease_until=tx.now + lease)
        .returning(runs)
    ).first()
    return _run(taken) if taken else None


def check(tx: Tx, run: Run) -> None:
    """Nothing when the claim is still ours. Raises LeaseLost when somebody else has it."""
    if _FENCE.on(tx.connection, {"run_": run.id}).scalar() != run.fence:
        raise LeaseLost(f"run {run.id} is no longer ours")


def check_driver(tx: Tx, run_id: str, owner: str) -> None:
    """Nothing when `owner` drives this run, through its incident or by itself. Raises LeaseLost otherwise."""
    query = (
        sa.select(runs.c.owner, incidents.c.owner)
        .outerjoin(incidents, sa.and_(incidents.c.id == runs.c.incident_id, incidents.c.closed_at.is_(None)))
        .where(runs.c.id == run_id)
    )
    row = tx.execute(query).first()
    if row is None or owner not in tuple(row):
        raise LeaseLost(f"run {run_id} is no longer ours")


def renew(tx: Tx, run: Run, lease: float) -> None:
    """Hold the claim for `lease` seconds from now; with 0, give it back. Raises LeaseLost."""
    held = {"run_": run.id, "fence_": run.fence, "until_": tx.now + lease if lease else 0}
    if _RENEW.on(tx.connection, held).rowcount != 1:
        raise LeaseLost(f"run {run.id} is no longer ours")


def keep(tx: Tx, ids: Collection[str], owner: str, lease: float) -> None:
    """Hold these claims, as far as they are still `owner`'s, for `lease` seconds from now at least."""
    until = tx.now + lease
    tx.execute(
        sa.update(runs)
        .where(runs.c.id.in_(ids), runs.c.owner == owner, runs.c.lease_until > 0, runs.c.lease_until < until)
        .values(lease_until=until)
    )


def kept_later(connection: Connection, run: Run) -> str | None:
    """A later run on the same target whose change is still to be given back; its id."""
    found = _KEPT_LATER.on(connection, {"target_": run.target, "run_": run.id}).scalar()
    return None if found is None else str(found)


def occupy(tx: Tx, run_id: str) -> None:
    """Give a run that ended its target once more, while what it changed is given back. Raises TargetBusy."""
    try:
        update(tx, run_id, active=1)
    except sa.exc.IntegrityError as error:
        raise TargetBusy("another run on this target has not ended") from error


def leave(tx: Tx, run_id: str) -> None:
    """A run that ended has given back what it was to; its target is free."""
    update(tx, run_id, active=0)


def counts(connection: Connection, since: float) -> dict[str, int]:
    """Executions since then by state."""
    query = (
        sa.select(runs.c.state, sa.func.count()).where(sa.or_(runs.c.started_at > since, ACTIVE)).group_by(runs.c.state)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def executions(connection: Connection) -> dict[tuple[str, str], int]:
    """How many executions of each playbook are in each state."""
    query = (
        sa.select(runs.c.playbook_id, runs.c.state, sa.func.count())
        .where(runs.c.started_at.is_not(None))
        .group_by(runs.c.playbook_id, runs.c.state)
    )
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}
