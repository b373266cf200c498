"""Tightening never loosens; there always is a verdict, and it always has reasons."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.model import Risk, Tier, VerifiedBy
from catalog.policy import BlastRadius, Policy, Rates, Storm
from remediator.governance.decide import decide
from remediator.governance.facts import Evidence, Facts, PlanFacts, Precondition, Purpose, Settings
from remediator.governance.ratchet import loosens, numbers, reload
from remediator.governance.verdict import Decision, Verdict

anything = st.floats(allow_nan=True, allow_infinity=True)
moments = st.one_of(st.none(), st.floats(1e9, 2e9), anything)
counts = st.integers(0, 40)

plans = st.builds(
    PlanFacts,
    playbook_id=st.text(max_size=8),
    target=st.text(max_size=8),
    group=st.text(max_size=8),
    tier=st.sampled_from(Tier),
    risk=st.sampled_from(Risk),
    verified_by=st.sampled_from(VerifiedBy),
    mutating=st.booleans(),
    safety=st.booleans(),
    shadow=st.booleans(),
    purpose=st.sampled_from(Purpose),
)
facts = st.builds(
    Facts,
    now=st.one_of(st.floats(1e9, 2e9), anything),
    evidence=st.sampled_from(Evidence),
    confidence=st.one_of(st.floats(0, 1), anything),
    target_known=st.booleans(),
    capable=st.booleans(),
    precondition=st.sampled_from(Precondition),
    maintenance=st.booleans(),
    hold_until=moments,
    target_busy=st.booleans(),
    last_run_of_playbook_on_target_at=moments,
    attempts_in_incident=st.integers(0, 10**6),
    last_attempt_at=moments,
    runs_last_hour_target=counts,
    runs_last_hour_all=counts,
    group_targets=st.integers(0, 100),
    group_targets_changed_recently=counts,
    group_active_runs=st.integers(0, 3),
    incident_groups_now=st.integers(0, 8),
    storm_active=st.booleans(),
    ineffective_in_incident=st.integers(0, 5),
    repeat_heals=st.integers(0, 5),
    approvals_given=st.integers(0, 6),
)
# Mild worlds: with everything random at once nearly every plan is denied, and a denied plan proves nothing.
mild_facts = st.builds(
    Facts,
    now=st.just(1.7e9),
    evidence=st.sampled_from(Evidence),
    confidence=st.floats(0.5, 1),
    last_run_of_playbook_on_target_at=st.one_of(st.none(), st.floats(1.7e9 - 9000, 1.7e9)),
    attempts_in_incident=st.integers(0, 3),
    last_attempt_at=st.one_of(st.none(), st.floats(1.7e9 - 9000, 1.7e9)),
    runs_last_hour_target=st.integers(0, 8),
    runs_last_hour_all=st.integers(20, 35),
    group_targets=st.integers(1, 30),
    group_targets_changed_recently=st.integers(0, 6),
    incident_groups_now=st.integers(0, 6),
    ineffective_in_incident=st.integers(0, 3),
    approvals_given=st.integers(0, 4),
)
run_time = st.builds(
    Settings,
    ceiling=st.sampled_from(Tier),
    strictness=st.integers(0, 3),
    supervised=st.booleans(),
    frozen=st.booleans(),
    shadow=st.booleans(),
)
levels = st.lists(st.floats(0, 1), min_size=4, max_size=4).map(lambda four: tuple(sorted(four)))
factors = st.lists(st.floats(1, 20), min_size=4, max_size=4).map(lambda four: tuple(sorted(four)))
storms = st.tuples(st.integers(1, 8), st.integers(1, 8)).map(
    lambda two: Storm(enter_groups=max(two), leave_below=min(two))
)
policies = st.builds(
    Policy,
    evidence=st.sampled_from(("required", "trust_alert")),
    confidence_floors=levels,
    cooldown_factors=factors,
    cooldown=st.floats(0, 2000),
    attempt_cooldown=st.floats(0, 500),
    rates=st.builds(Rates, per_target_hour=st.integers(0, 10), all_hour=st.integers(20, 40)),
    blast=st.builds(BlastRadius, group_at_once=st.integers(1, 3), group_share=st.floats(0.01, 1)),
    storm=storms,
    strikes=st.integers(1, 5),
    repeat_heals=st.integers(1, 5),
    approvals=st.fixed_dictionaries({f"tier_{tier}": st.integers(1, 4) for tier in range(1, 5)}),
    safety_ratchet=st.sampled_from(("immediate", "wait")),
)


def stricter_settings(one: Settings, other: Settings) -> Settings:
    return Settings(
        ceiling=min(one.ceiling, other.ceiling),
        strictness=max(one.strictness, other.strictness),
        supervised=one.supervised or other.supervised,
        frozen=one.frozen or other.frozen,
        shadow=one.shadow or other.shadow,
    )


def at_least_as_strict(tighter: Decision, looser: Decision) -> None:
    assert tighter.verdict >= looser.verdict, (tighter, looser)
    assert tighter.approvals_needed >= looser.approvals_needed, (tighter, looser)


@given(plans, facts, policies, run_time)
@settings(max_examples=400, deadline=None)
def test_there_is_always_a_verdict_with_reasons_each_explained(plan, fact, policy, setting):
    decision = decide(plan, fact, policy, setting)
    assert decision.reasons
    assert len(set(decision.reasons)) == len(decision.reasons)
    assert decision.detail.keys() == set(decision.reasons)
    assert all(decision.detail.values())
    assert decision.approvals_needed >= 0
    assert decision == decide(plan, fact, policy, setting)
    if decision.approvable:
        enough = replace(fact, approvals_given=decision.approvals_needed)
        assert decide(plan, enough, policy, setting).verdict is Verdict.ALLOW


@given(plans, st.one_of(facts, mild_facts), policies, run_time, run_time)
@settings(max_examples=600, deadline=None)
def test_tightening_any_setting_never_restricts_less(plan, fact, policy, one, other):
    tight = stricter_settings(one, other)
    assert not loosens(one, tight)
    at_least_as_strict(decide(plan, fact, policy, tight), decide(plan, fact, policy, one))


@given(plans, st.one_of(facts, mild_facts), policies, policies, run_time)
@settings(max_examples=600, deadline=None)
def test_what_a_reload_applies_at_once_never_restricts_less(plan, fact, one, other, setting):
    # To let a safety playbook turn at once is the stricter policy, though not for that one plan.
    other = other.model_copy(update={"safety_ratchet": one.safety_ratchet})
    tight = reload(one, other).now
    assert not reload(one, tight).pending
    at_least_as_strict(decide(plan, fact, tight, setting), decide(plan, fact, one, setting))


@given(plans, mild_facts, policies, run_time)
@settings(max_examples=300, deadline=None)
def test_a_busier_world_never_restricts_less(plan, fact, policy, setting):
    worse = replace(
        fact,
        runs_last_hour_target=fact.runs_last_hour_target + 1,
        runs_last_hour_all=fact.runs_last_hour_all + 1,
        group_targets_changed_recently=fact.group_targets_changed_recently + 1,
        incident_groups_now=fact.incident_groups_now + 1,
        ineffective_in_incident=fact.ineffective_in_incident + 1,
        confidence=fact.confidence - 0.1,
    )
    at_least_as_strict(decide(plan, worse, policy, setting), decide(plan, fact, policy, setting))


@given(policies, policies)
def test_a_reload_is_the_stricter_of_both_and_pending_is_what_the_file_loosens(one, other):
    result = reload(one, other)
    assert reload(other, one).now == result.now or "release_after" in result.pending
    applied, wanted = numbers(result.now), numbers(other)
    assert result.pending == {name for name in wanted if applied[name] != wanted[name]}
    assert reload(result.now, other).pending == result.pending
