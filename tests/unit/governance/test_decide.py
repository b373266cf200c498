"""One check at a time: what is found, what lifts it, what it spares."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from catalog.model import Risk, Tier, VerifiedBy
from catalog.policy import Policy
from remediator.governance.checks import CHECKS
from remediator.governance.decide import decide
from remediator.governance.facts import Evidence, Facts, PlanFacts, Precondition, Purpose, Settings
from remediator.governance.verdict import Reason, Verdict

POLICY = Policy()
SETTINGS = Settings()
EASY = Settings(ceiling=Tier.TIER_4)


def test_a_plan_within_the_ceiling_runs_and_says_so(day):
    decision = decide(day.plan(), day.facts(), POLICY, SETTINGS)
    assert decision.verdict is Verdict.ALLOW
    assert decision.reasons == (Reason.WITHIN_CEILING,)
    assert decision.approvals_needed == 0
    assert not decision.approvable
    assert decision.detail == {"within_ceiling": "tier_2 is within the ceiling tier_2"}


HELD_FOR_PEOPLE = {
    Reason.SUPERVISED: ({}, {}, {"supervised": True}),
    Reason.EVIDENCE_ABSENT: ({}, {"evidence": Evidence.ABSENT}, {}),
    Reason.TIER_ABOVE_CEILING: ({}, {}, {"ceiling": Tier.TIER_1}),
    Reason.CONFIDENCE_BELOW_FLOOR: ({}, {"confidence": 0.59}, {}),
    Reason.RATE_TARGET: ({}, {"runs_last_hour_target": 6}, {}),
    Reason.RATE_ALL: ({}, {"runs_last_hour_all": 30}, {}),
    Reason.STORM: ({}, {"storm_active": True}, {}),
}


@pytest.mark.parametrize("reason", HELD_FOR_PEOPLE)
def test_what_people_can_lift_becomes_allowed_with_enough_of_them(day, reason):
    plan, facts, settings = HELD_FOR_PEOPLE[reason]
    held = decide(day.plan(**plan), day.facts(**facts), POLICY, replace(SETTINGS, **settings))
    assert (held.verdict, held.reasons) == (Verdict.HOLD, (reason,))
    assert held.approvals_needed == 1
    assert held.approvable
    assert held.retry_at is None
    lifted = decide(day.plan(**plan), day.facts(**facts, approvals_given=1), POLICY, replace(SETTINGS, **settings))
    assert (lifted.verdict, lifted.reasons) == (Verdict.ALLOW, (Reason.APPROVED, reason))
    assert not lifted.approvable


HELD_REGARDLESS = {
    Reason.FROZEN: ({}, {}, {"frozen": True}),
    Reason.TARGET_ON_HOLD: ({}, {"hold_until": 1_700_000_060.0}, {}),
    Reason.SHADOW: ({"shadow": True}, {}, {}),
    Reason.MAINTENANCE: ({}, {"maintenance": True}, {}),
    Reason.COOLDOWN: ({}, {"last_run_of_playbook_on_target_at": 1_699_999_400.5}, {}),
    Reason.ATTEMPT_COOLDOWN: ({}, {"attempts_in_incident": 1, "last_attempt_at": 1_699_999_881.0}, {}),
    Reason.TARGET_BUSY: ({}, {"target_busy": True}, {}),
    Reason.BLAST_RADIUS: ({}, {"group_targets": 8, "group_active_runs": 1}, {}),
}


@pytest.mark.parametrize("reason", HELD_REGARDLESS)
def test_what_nobody_can_lift_stays_held_whoever_approves(day, reason):
    plan, facts, settings = HELD_REGARDLESS[reason]
    held = decide(day.plan(**plan), day.facts(**facts, approvals_given=9), POLICY, replace(SETTINGS, **settings))
    assert (held.verdict, held.reasons) == (Verdict.HOLD, (reason,))
    assert not held.approvable


DENIED = {
    Reason.UNKNOWN_TARGET: ({}, {"target_known": False}, {}),
    Reason.MISSING_CAPABILITY: ({}, {"capable": False}, {}),
    Reason.PRECONDITION_FAILED: ({}, {"precondition": Precondition.FALSE}, {}),
    Reason.HIGH_RISK_DENIED: ({"risk": Risk.HIGH}, {}, {"strictness": 2}),
    Reason.STRIKES: ({}, {"ineffective_in_incident": 3}, {}),
    Reason.REPEAT_HEALS: ({}, {"repeat_heals": 3}, {}),
}


@pytest.mark.parametrize("reason", DENIED)
def test_what_is_denied_is_denied_whoever_approves(day, reason):
    plan, facts, settings = DENIED[reason]
    denied = decide(day.plan(**plan), day.facts(**facts, approvals_given=9), POLICY, replace(SETTINGS, **settings))
    assert (denied.verdict, denied.reasons) == (Verdict.DENY, (reason,))


def test_every_check_has_a_story_here():
    told = {*HELD_FOR_PEOPLE, *HELD_REGARDLESS, *DENIED, Reason.TIER_NEEDS_APPROVAL}
    assert told == {check.reason for check in CHECKS}


@pytest.mark.parametrize(
    ("tier", "ceiling", "people"),
    [(3, 3, 1), (3, 4, 1), (3, 2, 2), (3, 1, 2), (4, 4, 2), (4, 3, 3), (4, 1, 3), (2, 1, 1), (2, 2, 0), (1, 1, 0)],
)
def test_how_many_people_a_tier_needs(day, tier, ceiling, people):
    settings = Settings(ceiling=Tier(ceiling))
    for given in range(5):
        decision = decide(day.plan(tier=Tier(tier)), day.facts(approvals_given=given), POLICY, settings)
        assert decision.approvals_needed == people
        assert decision.verdict is (Verdict.ALLOW if given >= people else Verdict.HOLD)


def test_the_locked_still_lets_reports_run(day):
    locked = Settings(supervised=True)
    report = day.plan(tier=Tier.TIER_1, mutating=False, verified_by=VerifiedBy.EFFECT)
    assert decide(report, day.facts(evidence=Evidence.UNREACHABLE), POLICY, locked).verdict is Verdict.ALLOW
    disguised = day.plan(tier=Tier.TIER_1, mutating=True)
    assert decide(disguised, day.facts(), POLICY, locked).verdict is Verdict.HOLD


@pytest.mark.parametrize(("strictness", "confidence", "holds"), [
    (0, 0.6, False), (0, 0.5999, True), (1, 0.7, False), (1, 0.69, True),
    (2, 0.8, False), (2, 0.79, True), (3, 0.9, False), (3, 0.8, True), (0, math.nan, True),
])  # fmt: skip
def test_the_floor_rises_with_strictness(day, strictness, confidence, holds):
    decision = decide(day.plan(), day.facts(confidence=confidence), POLICY, Settings(strictness=strictness))
    assert (Reason.CONFIDENCE_BELOW_FLOOR in decision.reasons) is holds


@pytest.mark.parametrize(("strictness", "seconds"), [(0, 600), (1, 1200), (2, 2400), (3, 4800)])
def test_the_cooldown_grows_with_strictness_and_says_when_it_ends(day, strictness, seconds):
    settings, confidence = Settings(strictness=strictness), 1.0
    last = day.now - seconds
    over = day.facts(last_run_of_playbook_on_target_at=last, confidence=confidence)
    assert decide(day.plan(), over, POLICY, settings).verdict is Verdict.ALLOW
    early = day.facts(last_run_of_playbook_on_target_at=last + 1, confidence=confidence)
    decision = decide(day.plan(), early, POLICY, settings)
    assert decision.reasons == (Reason.COOLDOWN,)
    assert decision.retry_at == day.now + 1


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 120), (2, 240), (3, 480), (6, 3840)])
def test_attempts_wait_twice_as_long_each_time(day, attempts, seconds):
    waited = day.facts(attempts_in_incident=attempts, last_attempt_at=day.now - seconds)
    assert decide(day.plan(), waited, POLICY, SETTINGS).verdict is Verdict.ALLOW
    early = day.facts(attempts_in_incident=attempts, last_attempt_at=day.now - seconds + 1)
    assert decide(day.plan(), early, POLICY, SETTINGS).retry_at == day.now + 1
    assert decide(day.plan(verified_by=VerifiedBy.EFFECT), early, POLICY, SETTINGS).verdict is Verdict.ALLOW


def test_a_thousand_attempts_overflow_nothing(day):
    decision = decide(day.plan(), day.facts(attempts_in_incident=5000, last_attempt_at=day.now), POLICY, SETTINGS)
    assert decision.verdict is Verdict.HOLD


def test_it_retries_when_the_last_wait_is_over_and_not_while_something_else_holds(day):
    both = {"last_run_of_playbook_on_target_at": day.now - 100, "hold_until": day.now + 900}
    assert decide(day.plan(), day.facts(**both), POLICY, SETTINGS).retry_at == day.now + 900
    assert decide(day.plan(), day.facts(**both, maintenance=True), POLICY, SETTINGS).retry_at is None
    tier_3 = day.plan(tier=Tier.TIER_3)
    waiting = decide(tier_3, day.facts(**both, approvals_given=2), POLICY, SETTINGS)
    assert (waiting.verdict, waiting.retry_at, waiting.approvable) == (Verdict.HOLD, day.now + 900, False)


@pytest.mark.parametrize(("targets", "changed", "holds"), [
    (1, 0, False), (2, 0, False), (2, 1, True), (4, 0, False), (4, 1, True), (6, 1, True), (8, 1, False), (8, 2, True),
    (100, 24, False), (100, 25, True),
])  # fmt: skip
def test_a_quarter_of_a_group_may_change_and_always_one(day, targets, changed, holds):
    facts = day.facts(group_targets=targets, group_targets_changed_recently=changed)
    assert (Reason.BLAST_RADIUS in decide(day.plan(), facts, POLICY, SETTINGS).reasons) is holds


def test_a_hold_ends_at_its_moment(day):
    assert decide(day.plan(), day.facts(hold_until=day.now), POLICY, SETTINGS).verdict is Verdict.ALLOW
    assert decide(day.plan(), day.facts(hold_until=day.now + 1), POLICY, SETTINGS).retry_at == day.now + 1


def test_five_groups_at_once_are_a_storm_even_before_anybody_folded_it(day):
    assert decide(day.plan(), day.facts(incident_groups_now=4), POLICY, SETTINGS).verdict is Verdict.ALLOW
    assert decide(day.plan(), day.facts(incident_groups_now=5), POLICY, SETTINGS).reasons == (Reason.STORM,)


@pytest.mark.parametrize("evidence", [Evidence.ABSENT, Evidence.UNREACHABLE, Evidence.TRUSTED])
def test_the_alerts_word_counts_only_where_the_policy_trusts_it(day, evidence):
    facts = day.facts(evidence=evidence)
    assert decide(day.plan(), facts, POLICY, SETTINGS).reasons == (Reason.EVIDENCE_ABSENT,)
    trusting = decide(day.plan(), facts, Policy(evidence="trust_alert"), SETTINGS)
    assert (trusting.verdict, trusting.reasons) == (Verdict.ALLOW, (Reason.WITHIN_CEILING, Reason.EVIDENCE_TRUSTED))


def test_an_unknown_precondition_counts_as_false(day):
    decision = decide(day.plan(), day.facts(precondition=Precondition.UNKNOWN), POLICY, SETTINGS)
    assert decision.reasons == (Reason.PRECONDITION_FAILED,)
    for fine in (Precondition.NONE, Precondition.TRUE):
        assert decide(day.plan(), day.facts(precondition=fine), POLICY, SETTINGS).verdict is Verdict.ALLOW


def lock(day, **changes) -> PlanFacts:
    return day.plan(
        playbook_id="lock-planner-supervised",
        target="governance",
        tier=Tier.TIER_4,
        risk=Risk.HIGH,
        safety=True,
        verified_by=VerifiedBy.CONTAINMENT,
        **changes,
    )


@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings(ceiling=Tier.TIER_1), Settings(strictness=3, supervised=True), Settings(strictness=2)],
)
def test_a_safety_ratchet_turns_at_once(day, settings):
    trouble = day.facts(storm_active=True, incident_groups_now=9, runs_last_hour_all=99, confidence=0.3)
    decision = decide(lock(day), trouble, POLICY, settings)
    assert (decision.verdict, decision.reasons) == (Verdict.ALLOW, (Reason.SAFETY_RATCHET,))


@pytest.mark.parametrize(
    ("facts", "settings"),
    [
        ({}, Settings(frozen=True)),
        ({"evidence": Evidence.ABSENT}, Settings()),
        ({"last_run_of_playbook_on_target_at": 1_699_999_999.0}, Settings()),
        ({"maintenance": True}, Settings()),
    ],
)
def test_but_not_while_frozen_nor_on_an_alerts_word_nor_in_its_cooldown(day, facts, settings):
    assert decide(lock(day), day.facts(**facts), POLICY, settings).verdict is Verdict.HOLD


def test_where_the_policy_waits_a_ratchet_asks_first_and_is_never_denied_for_its_risk(day):
    decision = decide(
        lock(day), day.facts(), Policy(safety_ratchet="wait"), Settings(ceiling=Tier.TIER_4, strictness=2)
    )
    assert (decision.verdict, decision.approvals_needed) == (Verdict.HOLD, 2)
    assert decision.reasons == (Reason.TIER_NEEDS_APPROVAL,)


def test_taking_a_ratchet_back_is_no_ratchet(day):
    released = decide(lock(day, purpose=Purpose.RELEASE), day.facts(), POLICY, Settings())
    assert released.verdict is Verdict.HOLD
    assert Reason.SAFETY_RATCHET not in released.reasons


def test_a_person_may_undo_under_a_freeze(day):
    bad_day = day.facts(evidence=Evidence.ABSENT, confidence=0.0, storm_active=True, runs_last_hour_all=99)
    decision = decide(day.plan(purpose=Purpose.UNDO, tier=Tier.TIER_4), bad_day, POLICY, Settings(frozen=True))
    assert (decision.verdict, decision.reasons) == (Verdict.ALLOW, (Reason.UNDO,))
    busy = replace(bad_day, target_busy=True)
    assert decide(day.plan(purpose=Purpose.UNDO), busy, POLICY, SETTINGS).verdict is Verdict.HOLD


@pytest.mark.parametrize("purpose", [Purpose.RELEASE, Purpose.BY_HAND])
def test_without_an_alert_there_is_no_band_to_confirm_but_everything_else_counts(day, purpose):
    no_evidence = day.facts(evidence=Evidence.ABSENT, confidence=0.0)
    decision = decide(day.plan(purpose=purpose), no_evidence, POLICY, SETTINGS)
    assert (decision.verdict, decision.reasons) == (Verdict.ALLOW, (Reason.WITHIN_CEILING, Reason.EVIDENCE_WAIVED))
    assert decide(day.plan(purpose=purpose), no_evidence, POLICY, Settings(frozen=True)).verdict is Verdict.HOLD
    assert decide(day.plan(purpose=purpose, tier=Tier.TIER_3), no_evidence, POLICY, SETTINGS).approvals_needed == 2


def test_in_shadow_nothing_runs_and_it_says_what_would_have(day):
    shadow = Settings(shadow=True)
    assert decide(day.plan(), day.facts(), POLICY, shadow).would_be is Verdict.ALLOW
    tier_3 = day.plan(tier=Tier.TIER_3)
    assert decide(tier_3, day.facts(), POLICY, shadow).would_be is Verdict.HOLD
    assert decide(tier_3, day.facts(approvals_given=2), POLICY, shadow).would_be is Verdict.ALLOW
    assert decide(tier_3, day.facts(approvals_given=2), POLICY, shadow).verdict is Verdict.HOLD
    denied = decide(day.plan(), day.facts(capable=False), POLICY, shadow)
    assert (denied.verdict, denied.would_be) == (Verdict.DENY, Verdict.DENY)
    assert decide(day.plan(), day.facts(), POLICY, SETTINGS).would_be is None


def test_every_reason_is_kept_in_the_order_of_the_checks(day):
    decision = decide(
        day.plan(tier=Tier.TIER_4, risk=Risk.HIGH),
        day.facts(evidence=Evidence.ABSENT, ineffective_in_incident=3, target_busy=True, storm_active=True),
        POLICY,
        Settings(strictness=3, frozen=True, supervised=True),
    )
    assert decision.verdict is Verdict.DENY
    assert decision.reasons == (
        Reason.FROZEN,
        Reason.SUPERVISED,
        Reason.EVIDENCE_ABSENT,
        Reason.TIER_NEEDS_APPROVAL,
        Reason.TIER_ABOVE_CEILING,
        Reason.HIGH_RISK_DENIED,
        Reason.CONFIDENCE_BELOW_FLOOR,
        Reason.TARGET_BUSY,
        Reason.STORM,
        Reason.STRIKES,
    )
    assert decision.detail.keys() == set(decision.reasons)


def test_a_clock_that_is_not_a_number_holds(day):
    facts = Facts(now=math.nan, evidence=Evidence.CONFIRMED, confidence=0.8, hold_until=5.0, last_attempt_at=1.0,
                  attempts_in_incident=1, last_run_of_playbook_on_target_at=2.0)  # fmt: skip
    assert decide(day.plan(), facts, POLICY, SETTINGS).verdict is Verdict.HOLD


def test_verdicts_are_ordered_by_how_much_they_restrict():
    assert Verdict.ALLOW < Verdict.HOLD < Verdict.DENY
    assert max(Verdict) is Verdict.DENY
    assert Verdict.DENY >= Verdict.HOLD > Verdict.ALLOW
    assert Verdict.ALLOW <= Verdict.ALLOW


def test_the_words_are_the_documented_ones():
    assert {reason.value for reason in Reason} >= {
        "evidence_absent", "within_ceiling", "frozen", "supervised", "target_on_hold", "shadow", "maintenance",
        "unknown_target", "missing_capability", "precondition_failed", "evidence_trusted", "tier_needs_approval",
        "tier_above_ceiling", "confidence_below_floor", "cooldown", "attempt_cooldown", "rate_target", "rate_all",
        "blast_radius", "storm", "strikes", "high_risk_denied", "target_busy", "approved", "safety_ratchet",
    }  # fmt: skip


def test_strictness_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="0, 1, 2 or 3"):
        Settings(strictness=4)
