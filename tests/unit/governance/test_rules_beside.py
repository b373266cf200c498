"""Confidence, order, storm, ratchets: the small rules beside the checks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model import Band, Severity, Tier
from catalog.policy import Policy, Rates, Storm
from remediator.governance import reference
from remediator.governance.confidence import confidence, share_of_evidence, track_record
from remediator.governance.facts import Settings
from remediator.governance.order import ENOUGH_OUTCOMES, Candidate, ordered
from remediator.governance.ratchet import POLICY, Stricter, loosens, numbers, reload
from remediator.governance.storm import StormState, fold

CRITICAL, WARNING, GOOD = Band.CRITICAL, Band.WARNING, Band.GOOD
POLICY_AS_SHIPPED = Policy()


class TestConfidence:
    def test_the_worked_example(self):
        share = share_of_evidence([GOOD, CRITICAL, CRITICAL, CRITICAL], Severity.CRITICAL)
        assert confidence(share, 0, 0, POLICY_AS_SHIPPED) == 0.8

    @pytest.mark.parametrize(
        ("measurements", "severity", "share"),
        [
            ([CRITICAL, CRITICAL, WARNING], Severity.CRITICAL, 2 / 3),
            ([CRITICAL, None, CRITICAL, CRITICAL], Severity.CRITICAL, 1.0),
            ([WARNING, CRITICAL, GOOD, GOOD], Severity.WARNING, 0.5),
            ([WARNING] * 9 + [GOOD], Severity.WARNING, 0.9),
            ([GOOD] * 5, Severity.WARNING, 0.0),
            ([], Severity.CRITICAL, 0.0),
            ([None, None], Severity.WARNING, 0.0),
        ],
    )
    def test_the_share_of_the_evidence_in_the_band_or_worse(self, measurements, severity, share):
        assert share_of_evidence(measurements, severity) == pytest.approx(share)

    def test_outcomes_move_it_and_their_number_makes_it_slow_to_move(self):
        assert track_record(0, 2, POLICY_AS_SHIPPED) == pytest.approx(8 / 12)
        assert track_record(10, 0, POLICY_AS_SHIPPED) == pytest.approx(18 / 20)
        assert track_record(0, 4, POLICY_AS_SHIPPED) < 0.6 < track_record(0, 3, POLICY_AS_SHIPPED)

    @given(st.floats(0, 1), st.integers(0, 10**9), st.integers(0, 10**9))
    def test_it_stays_between_0_and_1(self, share, helped, did_not):
        assert 0 <= confidence(share, helped, did_not, POLICY_AS_SHIPPED) <= 1


candidates = st.lists(
    st.builds(
        Candidate,
        playbook_id=st.text("abc", min_size=1, max_size=3),
        tier=st.sampled_from(Tier),
        helped=st.integers(0, 25),
        did_not=st.integers(0, 25),
    ),
    max_size=7,
)


class TestOrder:
    def test_as_listed_until_both_were_measured(self):
        listed = (Candidate("a", Tier.TIER_2, 0, 9), Candidate("b", Tier.TIER_2, 50, 0))
        assert ordered(listed, POLICY_AS_SHIPPED) == listed
        measured = (Candidate("a", Tier.TIER_2, 0, 10), Candidate("b", Tier.TIER_2, 10, 0))
        assert ordered(measured, POLICY_AS_SHIPPED) == measured[::-1]

    def test_a_higher_tier_never_outranks_a_lower_one(self):
        listed = (Candidate("a", Tier.TIER_2, 0, 50), Candidate("b", Tier.TIER_3, 50, 0))
        assert ordered(listed, POLICY_AS_SHIPPED) == listed
        assert ordered(listed[::-1], POLICY_AS_SHIPPED) == listed[::-1]

    @given(candidates)
    def test_only_what_is_justified_changes_places(self, listed):
        result = ordered(listed, POLICY_AS_SHIPPED)
        assert sorted(result, key=id) == sorted(listed, key=id)
        place = {id(candidate): index for index, candidate in enumerate(listed)}
        for index, first in enumerate(result):
            for later in result[index + 1 :]:
                if place[id(first)] > place[id(later)]:
                    assert min(first.outcomes, later.outcomes) >= ENOUGH_OUTCOMES
                    assert first.tier <= later.tier
                    assert self.record(first) > self.record(later)
        for first, second in pairwise(result):
            justified = min(first.outcomes, second.outcomes) >= ENOUGH_OUTCOMES and second.tier <= first.tier
            assert not (justified and self.record(second) > self.record(first))

    @staticmethod
    def record(candidate: Candidate) -> float:
        return track_record(candidate.helped, candidate.did_not, POLICY_AS_SHIPPED)


class TestStorm:
    def run(self, looks, storm=Storm()):  # noqa: B008  # frozen
        state, active = StormState(), []
        for now, groups in looks:
            state = fold(state, groups, now, storm)
            active.append(state.active)
        return active

    def test_it_begins_at_five_groups_and_not_at_four(self):
        assert self.run([(0, 4), (1, 5)]) == [False, True]

    def test_it_ends_after_ten_quiet_minutes_below_three(self):
        assert self.run([(0, 5), (10, 2), (609, 2), (610, 2)]) == [True, True, True, False]

    def test_three_groups_keep_it_alive_and_the_count_begins_anew(self):
        assert self.run([(0, 5), (10, 2), (500, 3), (620, 2), (1219, 0), (1220, 0)]) == [True] * 5 + [False]

    def test_a_clock_that_goes_back_counts_anew(self):
        assert self.run([(1000, 5), (1010, 0), (5, 0), (604, 0), (605, 0)]) == [True] * 4 + [False]

    @given(st.lists(st.tuples(st.floats(0, 300), st.integers(0, 8)), max_size=40))
    def test_it_never_ends_without_ten_minutes_of_calm(self, steps):
        now, state, calm_from = 0.0, StormState(), None
        for step, groups in steps:
            now += step
            before, state = state, fold(state, groups, now, Storm())
            calm_from = (now if calm_from is None else calm_from) if groups < 3 else None
            assert state.active or groups < 5
            if before.active and not state.active:
                assert calm_from is not None
                assert now - calm_from >= 600


class TestRatchet:
    BASE = Settings(ceiling=Tier.TIER_2, strictness=1, supervised=True, frozen=True, shadow=True)

    @pytest.mark.parametrize(
        ("change", "loosened"),
        [
            ({"ceiling": Tier.TIER_3}, {"ceiling"}),
            ({"ceiling": Tier.TIER_1}, set()),
            ({"strictness": 0}, {"strictness"}),
            ({"strictness": 3}, set()),
            ({"supervised": False, "frozen": False, "shadow": False}, {"supervised", "frozen", "shadow"}),
            ({"ceiling": Tier.TIER_1, "strictness": 0}, {"strictness"}),
            ({}, set()),
        ],
    )
    def test_what_a_change_loosens(self, change, loosened):
        old = {name: getattr(self.BASE, name) for name in Settings.__dataclass_fields__}
        assert loosens(self.BASE, Settings(**{**old, **change})) == loosened

    def test_every_number_of_the_policy_has_a_direction(self):
        assert numbers(Policy()).keys() == POLICY.keys()

    def test_a_file_that_only_tightens_applies(self):
        tighter = Policy(ceiling="tier_1", strictness=1, rates=Rates(all_hour=3), approvals={"tier_4": 3}, cooldown=900)
        result = reload(Policy(), tighter)
        assert (result.now, result.pending) == (tighter, frozenset())

    def test_what_it_loosens_is_pending_while_the_rest_applies(self):
        file = Policy(ceiling="tier_3", frozen=True, evidence="trust_alert", strikes=5, safety_ratchet="wait")
        result = reload(Policy(), file)
        assert result.pending == {"ceiling", "evidence", "strikes", "safety_ratchet"}
        assert result.now == Policy(frozen=True)

    def test_a_change_without_a_stricter_side_wants_a_person(self):
        assert POLICY["release_after"] is Stricter.EITHER_IS_LOOSER
        for seconds in (60, 7200):
            assert reload(Policy(), Policy(release_after=seconds)).pending == {"release_after"}

    def test_settings_begin_as_the_file_says(self):
        policy = Policy(ceiling="tier_3", strictness=2, supervised=True, shadow=True)
        assert Settings.of(policy) == Settings(Tier.TIER_3, 2, supervised=True, frozen=False, shadow=True)


def test_the_reference_is_generated_from_the_checks():
    written = reference.HOME.read_text(encoding="utf-8")
    assert written == reference.render(), "run: python -m remediator.governance.reference"
