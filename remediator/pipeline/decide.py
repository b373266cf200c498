"""Decide: the facts of one moment, counted in the transaction that acts on the verdict, go to governance."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from catalog.model import PlaybookDefinition, Tier, VerifiedBy
from catalog.policy import Policy
from remediator.governance.confidence import confidence
from remediator.governance.decide import decide
from remediator.governance.facts import Evidence, Facts, PlanFacts, Purpose, Settings
from remediator.governance.ratchet import loosens
from remediator.governance.storm import StormState, fold
from remediator.governance.verdict import Decision, Reason, Verdict
from remediator.ledger import approvals, incidents, runs, settings
from remediator.ledger.engine import Tx
from remediator.model import Incident, IncidentState, Plan, Run, RunState
from remediator.pipeline import precondition as preconditions
from remediator.pipeline.maintenance import covering
from remediator.pipeline.parts import Parts
from remediator.pipeline.plan import TELLING, Unplannable
from remediator.pipeline.precondition import Answer

STORM = "storm"
"""Name of the setting that keeps the storm's state between looks: bookkeeping, not governance."""
GOVERNED = ("ceiling", "strictness", "supervised", "frozen", "shadow")


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision with what it rests on."""

    decision: Decision
    confidence: float
    policy: str
    """Version of the policy and the settings it was made under."""
    precondition: Answer


def current_settings(connection: Connection, parts: Parts) -> Settings:
    """Governance settings now: what people and ratchets set wins over the policy file."""
    stored = settings.load(connection)
    policy = parts.policy
    return Settings(
        ceiling=Tier.parse(stored["ceiling"]) if "ceiling" in stored else policy.ceiling,
        strictness=int(stored.get("strictness", policy.strictness)),
        supervised=bool(stored.get("supervised", policy.supervised)),
        frozen=bool(stored.get("frozen", policy.frozen)),
        shadow=bool(stored.get("shadow", policy.shadow)),
    )


def loosened_by(connection: Connection, parts: Parts, name: str) -> frozenset[str]:
    """The settings that this person has made looser than the policy file, and that are so now."""
    now = current_settings(connection, parts)
    made = {each for each, who in settings.authors(connection).items() if who == name}
    looser = loosens(Settings.of(parts.policy), now) & made
    return looser | (frozenset({"policy"}) if parts.confirmed_by == name else frozenset())


def settings_json(found: Settings) -> dict[str, Any]:
    return {
        "ceiling": str(found.ceiling),
        "strictness": found.strictness,
        "supervised": found.supervised,
        "frozen": found.frozen,
        "shadow": found.shadow,
    }


def policy_version(policy: Policy, settings: Settings) -> str:
    """A digest (16 hex digits) of everything by which governance decides: equal versions decide alike."""
    # Asked at every decision, and a policy is never changed, only replaced.
    if not _written or _written[0][0] is not policy:
        # Its fields, and the tiers among them, are always written in the same order.
        _written[:] = [(policy, policy.model_dump_json())]
    return hashlib.sha256(f"{_written[0][1]}{settings}".encode()).hexdigest()[:16]


_written: list[tuple[Policy, str]] = []
"""The policy that was asked for last, as JSON."""


def judge(
    tx: Tx,
    parts: Parts,
    playbook: PlaybookDefinition,
    plan: Plan | Unplannable,
    *,
    incident: Incident | None,
    evidence: Evidence,
    share: float,
    approvals_given: int = 0,
    purpose: Purpose = Purpose.HEAL,
    own_run: str | None = None,
    precondition: Answer = preconditions.NONE,
) -> Judged:
    """The verdict on a plan (or on a candidate that could not be planned) now.

    `own_run` is the run that asks, so that it does not count as its own competitor.
    """
    connection, now = tx.connection, tx.now
    planned = plan if isinstance(plan, Plan) else None
    target = planned.target if planned else (incident.target if incident and incident.target else "")
    group = planned.group if planned else target
    past = runs.history(
        connection,
        playbook_id=playbook.id,
        target=target,
        group=group,
        now=now,
        blast_within=parts.policy.blast.within,
    )
    known = parts.target(target)
    attempts = _attempts(connection, parts, incident)
    helped, did_not = runs.outcomes(connection, playbook.id)
    sure = confidence(share, helped, did_not, parts.policy)
    groups = groups_in_trouble(connection, parts)
    facts = Facts(
        now=now,
        evidence=evidence,
        confidence=sure,
        target_known=not isinstance(plan, Unplannable) or plan.reason != "unknown_target",
        capable=not isinstance(plan, Unplannable) or plan.reason == "unknown_target",
        precondition=precondition.value,
        maintenance=covering(parts.policy.maintenance, target, now) is not None,
        hold_until=next((each["until"] for each in settings.held(connection, now) if each["target"] == target), None),
        target_busy=past.active_on_target not in (None, own_run),
        last_run_of_playbook_on_target_at=past.last_of_playbook_on_target,
        attempts_in_incident=len(attempts),
        last_attempt_at=max((run.ended_at or now for run in attempts), default=None),
        runs_last_hour_target=past.started_last_hour_target,
        runs_last_hour_all=past.started_last_hour_all,
        group_targets=parts.inventory.group_size(group) or 1,
        group_targets_changed_recently=len(past.group_targets_changed - {target}),
        group_active_runs=max(0, past.active_in_group - (1 if past.active_on_target else 0)),
        incident_groups_now=groups,
        storm_active=_storm(tx, parts, groups),
        ineffective_in_incident=sum(1 for run in attempts if run.outcome in _DID_NOT_HELP),
        repeat_heals=_repeat_heals(connection, parts, incident, now),
        approvals_given=approvals_given,
    )
    plan_facts = PlanFacts(
        playbook_id=playbook.id,
        target=target,
        group=group,
        tier=playbook.tier,
        risk=playbook.risk,
        verified_by=playbook.verified_by,
        mutating=not all(step.verb in TELLING for step in playbook.steps),
        safety=playbook.safety,
        shadow=playbook.shadow or (known is not None and known.shadow),
        purpose=purpose,
    )
    now_set = current_settings(connection, parts)
    decision = decide(plan_facts, facts, parts.policy, now_set)
    return Judged(decision, sure, policy_version(parts.policy, now_set), precondition)


def record(
    tx: Tx,
    *,
    incident: Incident | None,
    run_id: str | None,
    playbook: PlaybookDefinition,
    plan: Plan | Unplannable,
    judged: Judged,
    evidence: Evidence,
    note: str,
) -> None:
    """The decision, whole, in the audit log: what was to be done, what was known, the verdict and every reason."""
    decision = judged.decision
    body: dict[str, Any] = {
        "playbook": playbook.id,
        "tier": str(playbook.tier),
        "verdict": decision.verdict.value,
        "reasons": [reason.value for reason in decision.reasons],
        "detail": dict(decision.detail),
        "confidence": round(judged.confidence, 6),
        "evidence": evidence.value,
        "note": note,
        "approvals_needed": decision.approvals_needed,
        "policy": judged.policy,
    }
    if asked := judged.precondition.as_json():
        body["precondition"] = asked
    if isinstance(plan, Plan):
        body |= {"target": plan.target, "digest": plan.digest, "steps": [step.as_json() for step in plan.steps]}
    else:
        body |= {"unplannable": plan.reason, "why": plan.detail}
    tx.record("decision", body, incident_id=incident.id if incident else None, run_id=run_id)


def why(decision: Decision) -> str:
    """Every reason of a decision in words."""
    return "; ".join(decision.detail.get(reason.value, reason.value) for reason in decision.reasons)


def reasons_of(decision: Decision, plan: Plan | Unplannable) -> tuple[str, ...]:
    """Every reason as a word; one that could not be planned begins with why."""
    words = tuple(reason.value for reason in decision.reasons)
    if isinstance(plan, Unplannable) and plan.reason not in words:
        return (plan.reason, *words)
    return words


def transient(decision: Decision) -> bool:
    """Is it held only by what passes (a cooldown, a freeze, a busy target), so that it is worth asking again later?"""
    return decision.verdict is Verdict.HOLD and not decision.approvable


def shadowed(decision: Decision) -> bool:
    return Reason.SHADOW in decision.reasons


_DID_NOT_HELP = frozenset(
    {RunState.INEFFECTIVE.value, RunState.ROLLED_BACK.value, RunState.UNDO_FAILED.value, RunState.FAILED.value}
)


def _attempts(connection: Connection, parts: Parts, incident: Incident | None) -> list[Run]:
    """Runs of this incident that were meant to move the metric and have ended."""
    if incident is None:
        return []
    return [
        run
        for run in runs.of_incident(connection, incident.id)
        if run.started_at is not None
        and run.state.final
        and (known := parts.catalog.playbooks.get(run.playbook_id)) is not None
        and known.verified_by is not VerifiedBy.EFFECT
    ]


def groups_in_trouble(connection: Connection, parts: Parts) -> int:
    """Distinct groups that have a confirmed open incident now."""
    quiet = (IncidentState.SUSPENDED, IncidentState.BLIND)
    names, others = incidents.troubled(connection, quiet=quiet, unproven=Reason.EVIDENCE_ABSENT.value)
    return len(parts.inventory.groups_of(names)) + len(others)


def _storm(tx: Tx, parts: Parts, groups: int) -> bool:
    stored = settings.load(tx.connection).get(STORM)
    before = StormState(bool(stored["active"]), stored["calm_since"]) if stored else StormState()
    after = fold(before, groups, tx.now, parts.policy.storm)
    if after != before:
        settings.put_quietly(tx, STORM, {"active": after.active, "calm_since": after.calm_since})
        if after.active != before.active:
            tx.record("storm_began" if after.active else "storm_ended", {"groups": groups})
    return after.active


def _repeat_heals(connection: Connection, parts: Parts, incident: Incident | None, now: float) -> int:
    if incident is None:
        return 0
    since = now - parts.policy.repeat_heals_within
    return incidents.heals_since(connection, incident.metric_id, incident.resource, since)


def approvals_given(connection: Connection, run: Run) -> int:
    """Distinct people who approved exactly this plan."""
    approval = approvals.of_run(connection, run.id)
    return approval.given if approval and approval.status == "approved" and approval.plan_digest == run.digest else 0
