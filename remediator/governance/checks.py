"""Every check as a row of one table: what it finds, how much that restricts, whether people lift it, whom it spares.

A row's function says in words why it finds something, or None; its docstring is the row's line in the reference.
A check that cannot know finds something: a time or a confidence that is not a number restricts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from catalog.model import Risk, Tier, VerifiedBy
from catalog.policy import Policy
from remediator.governance.facts import Evidence, Facts, PlanFacts, Precondition, Purpose, Settings
from remediator.governance.verdict import Reason, Verdict

HIGH_RISK_DENIED_FROM = 2
"""The strictness from which plans of high risk are denied."""
ASKS_PEOPLE_FROM = Tier.TIER_3
"""The tier from which people are asked, always."""


class Kind(StrEnum):
    """What a plan can be, as far as a check may spare it. A plan can be several of them, or none."""

    REPORT = "report"
    """tier_1 and changes nothing: observes and tells."""
    EFFECT = "effect"
    """Verified by effect: goes along with the next candidate, so it is no attempt at healing."""
    SAFETY = "safety"
    """Only reduces what runs alone."""
    RATCHET = "ratchet"
    """A safety playbook where the policy says `immediate`."""
    RELEASE = "release"
    BY_HAND = "by_hand"
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Case:
    """One question put to governance."""

    plan: PlanFacts
    facts: Facts
    policy: Policy
    settings: Settings

    @property
    def kinds(self) -> frozenset[Kind]:
        plan = self.plan
        # To undo or release a safety playbook loosens, so it is then like any other plan.
        safety = plan.safety and plan.purpose in (Purpose.HEAL, Purpose.BY_HAND)
        found = {
            Kind.REPORT: plan.tier is Tier.TIER_1 and not plan.mutating,
            Kind.EFFECT: plan.verified_by is VerifiedBy.EFFECT,
            Kind.SAFETY: safety,
            Kind.RATCHET: safety and self.policy.safety_ratchet == "immediate",
            Kind.RELEASE: plan.purpose is Purpose.RELEASE,
            Kind.BY_HAND: plan.purpose is Purpose.BY_HAND,
            Kind.UNDO: plan.purpose is Purpose.UNDO,
        }
        return frozenset(kind for kind, holds in found.items() if holds)

    @property
    def people(self) -> int:
        """How many people must approve whatever holds a plan of this tier."""
        return self.policy.approvals[str(self.plan.tier)]

    @property
    def floor(self) -> float:
        """The least confidence at this strictness."""
        return self.policy.confidence_floors[self.settings.strictness]

    @property
    def cooldown_factor(self) -> float:
        return self.policy.cooldown_factors[self.settings.strictness]


@dataclass(frozen=True, slots=True)
class Check:
    reason: Reason
    verdict: Verdict
    finds: Callable[[Case], str | None]
    approvable: bool = False
    """People can lift it."""
    spares: frozenset[Kind] = frozenset()
    passes_at: Callable[[Case], float | None] = lambda case: None
    """When it passes by itself (epoch seconds), where that is known."""
    people: Callable[[Case], int] = lambda case: case.people
    """Approvals that lift it, where people can."""


def _frozen(case: Case) -> str | None:
    """Everything is frozen: nothing new starts, and the next step of a run does not start."""
    return "everything is frozen: nothing new starts until a person unfreezes" if case.settings.frozen else None


def _supervised(case: Case) -> str | None:
    """Locked: every change is held for at least one approval."""
    return "locked: every change waits for a person" if case.settings.supervised else None


def _on_hold(case: Case) -> str | None:
    """A person holds the target (`grace hold`)."""
    until = case.facts.hold_until
    return None if until is None or case.facts.now >= until else f"a person holds {case.plan.target} until {until:.0f}"


def _shadow(case: Case) -> str | None:
    """The whole, the playbook or the target is in shadow: decided and recorded, never touched."""
    if case.settings.shadow:
        return "everything is in shadow: decided and recorded, not touched"
    return "the playbook or the target is in shadow: decided and recorded, not touched" if case.plan.shadow else None


def _maintenance(case: Case) -> str | None:
    """A maintenance window or a silence covers the target."""
    return "a maintenance window or a silence covers the target" if case.facts.maintenance else None


def _unknown_target(case: Case) -> str | None:
    """The target is not in the inventory."""
    return None if case.facts.target_known else f"{case.plan.target or 'no target'} is not in the inventory"


def _incapable(case: Case) -> str | None:
    """The target lacks a relation that the playbook needs, or its driver cannot do the verb."""
    return None if case.facts.capable else f"{case.plan.target} cannot do what {case.plan.playbook_id} asks for"


def _precondition(case: Case) -> str | None:
    """The precondition is false, or could not be checked."""
    if case.facts.precondition is Precondition.FALSE:
        return "its precondition does not hold"
    if case.facts.precondition is Precondition.UNKNOWN:
        return "its precondition could not be checked, so it counts as false"
    return None


def _evidence(case: Case) -> str | None:
    """Prometheus does not confirm the alert now, or cannot be asked."""
    if case.facts.evidence is Evidence.CONFIRMED or case.policy.evidence == "trust_alert":
        return None
    if case.facts.evidence is Evidence.UNREACHABLE:
        return "Prometheus could not be asked whether the alert is true"
    return "Prometheus does not show what the alert says"


def _tier(case: Case) -> str | None:
    """tier_3 and tier_4 always ask people."""
    if case.plan.tier < ASKS_PEOPLE_FROM:
        return None
    return f"{case.plan.tier} always asks people: {case.people}"


def _ceiling(case: Case) -> str | None:
    """The tier is above the ceiling."""
    if case.plan.tier <= case.settings.ceiling:
        return None
    return f"{case.plan.tier} is above the ceiling {case.settings.ceiling}"


def _people_above_ceiling(case: Case) -> int:
    return case.people + (case.plan.tier >= ASKS_PEOPLE_FROM)


def _high_risk(case: Case) -> str | None:
    """High risk, at strictness 2 or 3."""
    if case.plan.risk is Risk.HIGH and case.settings.strictness >= HIGH_RISK_DENIED_FROM:
        return f"high risk is denied at strictness {case.settings.strictness}"
    return None


def _confidence(case: Case) -> str | None:
    """Confidence is below the floor of this strictness."""
    if case.facts.confidence >= case.floor:
        return None
    level = case.settings.strictness
    return f"confidence {case.facts.confidence:.2f} is below the floor {case.floor:g} of strictness {level}"


def _cooldown_ends(case: Case) -> float | None:
    last = case.facts.last_run_of_playbook_on_target_at
    return None if last is None else last + case.policy.cooldown * case.cooldown_factor


def _attempt_cooldown_ends(case: Case) -> float | None:
    last, attempts = case.facts.last_attempt_at, case.facts.attempts_in_incident
    if last is None or attempts < 1:
        return None
    # 32 doublings of any cooldown outlast every incident; without a limit the float would overflow.
    return last + case.policy.attempt_cooldown * case.cooldown_factor * 2.0 ** min(attempts - 1, 32)


def _cooldown(case: Case) -> str | None:
    """The playbook ran on this target less than its cooldown ago."""
    ends = _cooldown_ends(case)
    if ends is None or case.facts.now >= ends:
        return None
    return f"{case.plan.playbook_id} ran on {case.plan.target} lately; again from {_moment(ends)}"


def _attempt_cooldown(case: Case) -> str | None:
    """The incident's last attempt is too recent; the wait doubles with every attempt."""
    ends = _attempt_cooldown_ends(case)
    if ends is None or case.facts.now >= ends:
        return None
    return f"attempt {case.facts.attempts_in_incident} of this incident was lately; the next from {_moment(ends)}"


def _moment(seconds: float) -> str:
    return f"{seconds:.0f}" if math.isfinite(seconds) else str(seconds)


def _rate_target(case: Case) -> str | None:
    """The target had its runs of this hour."""
    runs, limit = case.facts.runs_last_hour_target, case.policy.rates.per_target_hour
    return f"{runs} runs on {case.plan.target} in the last hour, the limit is {limit}" if runs >= limit else None


def _rate_all(case: Case) -> str | None:
    """All targets together had their runs of this hour."""
    runs, limit = case.facts.runs_last_hour_all, case.policy.rates.all_hour
    return f"{runs} runs in the last hour, the limit is {limit}" if runs >= limit else None


def _busy(case: Case) -> str | None:
    """A run is active on the target."""
    return f"a run is active on {case.plan.target}" if case.facts.target_busy else None


def _blast(case: Case) -> str | None:
    """Too many other targets of the group are being changed, or were changed lately."""
    facts, blast = case.facts, case.policy.blast
    if facts.group_active_runs >= blast.group_at_once:
        return f"{facts.group_active_runs} other of {case.plan.group} being changed, {blast.group_at_once} at a time"
    # At least one target of a group may always be changed, or a pair could never be healed.
    allowed = max(1, math.floor(blast.group_share * facts.group_targets))
    if facts.group_targets_changed_recently + 1 > allowed:
        changed = facts.group_targets_changed_recently
        return f"{changed} other of {facts.group_targets} targets of {case.plan.group} changed lately, {allowed} may"
    return None


def _storm(case: Case) -> str | None:
    """There is a storm: every change is held."""
    if case.facts.storm_active or case.facts.incident_groups_now >= case.policy.storm.enter_groups:
        return f"storm: confirmed incidents on {case.facts.incident_groups_now} groups, every change waits for a person"
    return None


def _strikes(case: Case) -> str | None:
    """Too many runs of this incident did not help: escalate."""
    runs = case.facts.ineffective_in_incident
    return f"{runs} runs of this incident did not help: a person is wanted" if runs >= case.policy.strikes else None


def _repeat_heals(case: Case) -> str | None:
    """The same metric and resource was healed too often lately: escalate."""
    heals = case.facts.repeat_heals
    return (
        f"healed {heals} times lately and back again: a person is wanted" if heals >= case.policy.repeat_heals else None
    )


_NO_CHANGE = frozenset({Kind.REPORT, Kind.UNDO})
_NOT_RESTRICTING = _NO_CHANGE | {Kind.RATCHET}
_NO_ALERT_BEHIND = frozenset({Kind.RELEASE, Kind.BY_HAND, Kind.UNDO})

_UNDO = frozenset({Kind.UNDO})

CHECKS: tuple[Check, ...] = (
    Check(Reason.FROZEN, Verdict.HOLD, _frozen, spares=_UNDO),
    Check(Reason.SUPERVISED, Verdict.HOLD, _supervised, approvable=True, spares=_NOT_RESTRICTING),
    Check(Reason.TARGET_ON_HOLD, Verdict.HOLD, _on_hold, spares=_UNDO, passes_at=lambda case: case.facts.hold_until),
    Check(Reason.SHADOW, Verdict.HOLD, _shadow),
    Check(Reason.MAINTENANCE, Verdict.HOLD, _maintenance, spares=_NO_CHANGE),
    Check(Reason.UNKNOWN_TARGET, Verdict.DENY, _unknown_target),
    Check(Reason.MISSING_CAPABILITY, Verdict.DENY, _incapable),
    Check(Reason.PRECONDITION_FAILED, Verdict.DENY, _precondition, spares=_UNDO),
    Check(Reason.EVIDENCE_ABSENT, Verdict.HOLD, _evidence, approvable=True, spares=_NO_ALERT_BEHIND | {Kind.REPORT}),
    Check(Reason.TIER_NEEDS_APPROVAL, Verdict.HOLD, _tier, approvable=True, spares=_UNDO | {Kind.RATCHET}),
    Check(
        Reason.TIER_ABOVE_CEILING,
        Verdict.HOLD,
        _ceiling,
        approvable=True,
        spares=_UNDO | {Kind.RATCHET},
        people=_people_above_ceiling,
    ),
    # Denying a tightening because things are strict already would loosen.
    Check(Reason.HIGH_RISK_DENIED, Verdict.DENY, _high_risk, spares=_UNDO | {Kind.SAFETY}),
    Check(
        Reason.CONFIDENCE_BELOW_FLOOR,
        Verdict.HOLD,
        _confidence,
        approvable=True,
        spares=_NO_ALERT_BEHIND | {Kind.REPORT, Kind.RATCHET},
    ),
    Check(Reason.COOLDOWN, Verdict.HOLD, _cooldown, spares=_UNDO, passes_at=_cooldown_ends),
    Check(
        Reason.ATTEMPT_COOLDOWN,
        Verdict.HOLD,
        _attempt_cooldown,
        spares=_NO_ALERT_BEHIND | {Kind.EFFECT},
        passes_at=_attempt_cooldown_ends,
    ),
    Check(Reason.RATE_TARGET, Verdict.HOLD, _rate_target, approvable=True, spares=_UNDO | {Kind.RATCHET}),
    Check(Reason.RATE_ALL, Verdict.HOLD, _rate_all, approvable=True, spares=_UNDO | {Kind.RATCHET}),
    Check(Reason.TARGET_BUSY, Verdict.HOLD, _busy),
    Check(Reason.BLAST_RADIUS, Verdict.HOLD, _blast, spares=_NO_CHANGE),
    Check(Reason.STORM, Verdict.HOLD, _storm, approvable=True, spares=_NOT_RESTRICTING),
    Check(Reason.STRIKES, Verdict.DENY, _strikes, spares=_NO_ALERT_BEHIND),
    Check(Reason.REPEAT_HEALS, Verdict.DENY, _repeat_heals, spares=_NO_ALERT_BEHIND | _NOT_RESTRICTING),
)
"""In the order in which they are told. All are asked: the most restrictive finding wins, every finding is kept."""
