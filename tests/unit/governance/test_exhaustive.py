"""Every combination has one verdict with all its reasons, the one that a second, independent account gives."""

from __future__ import annotations

import importlib.util
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest

from catalog.model import Risk, Tier, VerifiedBy
from catalog.policy import Policy
from remediator.governance.checks import CHECKS
from remediator.governance.decide import decide
from remediator.governance.facts import Evidence, Facts, PlanFacts, Precondition, Purpose, Settings
from remediator.governance.verdict import Reason, Verdict

NOW = 1_700_000_000.0
RESTRICTING = {check.reason for check in CHECKS}
POLICIES = {
    (ratchet, evidence): Policy(safety_ratchet=ratchet, evidence=evidence)
    for ratchet, evidence in product(("immediate", "wait"), ("required", "trust_alert"))
}


def load_oracle() -> ModuleType:
    spec = importlib.util.spec_from_file_location("governance_oracle", Path(__file__).with_name("oracle.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


oracle = load_oracle()


def agree(plan: PlanFacts, facts: Facts, settings: Settings, ratchet: str = "immediate", evidence: str = "required"):
    decision = decide(plan, facts, POLICIES[ratchet, evidence], settings)
    verdict, reasons, approvals = oracle.expected(plan, facts, settings, ratchet=ratchet, evidence=evidence)
    found = (decision.verdict.value, {r.value for r in decision.reasons if r in RESTRICTING}, decision.approvals_needed)
    assert found == (verdict, reasons, approvals), (plan, facts, settings, ratchet, evidence, decision)
    assert decision.reasons
    assert decision.detail.keys() == set(decision.reasons)
    assert (Reason.APPROVED in decision.reasons) == (verdict == "allow" and approvals > 0)
    assert not decision.approvable or decision.verdict is Verdict.HOLD


def test_tiers_ceilings_strictness_risk_evidence_confidence_and_approvals():
    settings = [
        Settings(Tier(ceiling), strictness, supervised, frozen)
        for ceiling, strictness, supervised, frozen in product(range(1, 5), range(4), (False, True), (False, True))
    ]
    plans = [
        PlanFacts("p", "t", "g", Tier(tier), risk, mutating=mutating, safety=safety)
        for tier, risk, mutating, safety in product(range(1, 5), Risk, (True, False), (False, True))
    ]
    facts = [
        Facts(NOW, evidence, confidence, approvals_given=given)
        for evidence, confidence, given in product(Evidence, (0.65, 0.8), (0, 1, 3))
    ]
    for plan, fact, setting in product(plans, facts, settings):
        agree(plan, fact, setting, "wait" if plan.safety and fact.approvals_given else "immediate")


def test_everything_that_can_be_wrong_at_once_with_everything_else():
    worlds = list(
        product(
            (True, False),  # target known
            (True, False),  # capable
            (None, NOW + 1),  # held until
            (False, True),  # busy
            (None, NOW - 700),  # last run of the playbook here: over at strictness 0, not at 1
            (0, 2),  # attempts
            (5, 6),  # runs on the target
            (29, 30),  # runs over all
            (0, 1),  # active in the group
            (0, 2),  # changed in the group of eight
            (4, 5),  # groups in trouble
            (2, 3),  # strikes
        )
    )
    plans = [
        PlanFacts("p", "t", "g", Tier.TIER_2),
        PlanFacts("p", "t", "g", Tier.TIER_1, mutating=False, verified_by=VerifiedBy.EFFECT),
    ]
    for plan, strictness, world in product(plans, (0, 1), worlds):
        known, capable, hold, busy, last, attempts, on_target, over_all, active, changed, groups, strikes = world
        facts = Facts(
            NOW,
            Evidence.CONFIRMED,
            0.8,
            target_known=known,
            capable=capable,
            hold_until=hold,
            target_busy=busy,
            last_run_of_playbook_on_target_at=last,
            attempts_in_incident=attempts,
            last_attempt_at=NOW - 300,
            runs_last_hour_target=on_target,
            runs_last_hour_all=over_all,
            group_targets=8,
            group_active_runs=active,
            group_targets_changed_recently=changed,
            incident_groups_now=groups,
            ineffective_in_incident=strikes,
        )
        agree(plan, facts, Settings(strictness=strictness))


PURPOSES = list(
    product(
        Purpose,
        Precondition,
        Evidence,
        POLICIES,
        (False, True),  # maintenance
        (False, True),  # shadow plan
        (False, True),  # shadow everything
        (False, True),  # safety
        (2, 3),  # repeat heals
        (0, 2),  # approvals
    )
)


def about_purpose(tiers, strictnesses):
    for tier, strictness, supervised, case in product(tiers, strictnesses, (False, True), PURPOSES):
        purpose, precondition, evidence, (ratchet, trust), maintenance, one, every, safety, heals, given = case
        plan = PlanFacts("p", "t", "g", Tier(tier), safety=safety, shadow=one, purpose=purpose, mutating=tier > 1)
        facts = Facts(
            NOW,
            evidence,
            0.75,
            precondition=precondition,
            maintenance=maintenance,
            repeat_heals=heals,
            approvals_given=given,
        )
        agree(plan, facts, Settings(strictness=strictness, supervised=supervised, shadow=every), ratchet, trust)


def test_purposes_preconditions_windows_shadow_and_policies():
    about_purpose(tiers=(1, 3), strictnesses=(1,))


@pytest.mark.prove
def test_purposes_in_every_tier_and_strictness():
    about_purpose(tiers=range(1, 5), strictnesses=range(4))
