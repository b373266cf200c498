"""Targets that are several things by name: what is asked of them, and what gives it back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model import Verb
from remediator.drivers import members
from remediator.errors import Refused

STATES = st.sampled_from(["running", "starting", "unhealthy", "paused", "stopped"])
FLEET = st.dictionaries(st.sampled_from("abcdef"), STATES)


def observed(states: Mapping[str, str], **limits: float | None) -> dict[str, Any]:
    return {"members": dict(states), "started": dict.fromkeys(states, 50.0), "limits": limits}


@given(before=FLEET, desired=FLEET, others=FLEET)
def test_giving_back_names_only_what_we_changed_and_nobody_changed_since(
    before: dict[str, str], desired: dict[str, str], others: dict[str, str]
) -> None:
    now = {**before, **desired, **others}
    back = members.given_back(observed(before), {"members": desired}, observed(now), "stopped")
    for name, state in (back or {"members": {}})["members"].items():
        assert name in desired
        assert (now[name] in members.ALIVE) == (desired[name] in members.ALIVE)
        assert (before.get(name, "stopped") in members.ALIVE) == (state in members.ALIVE)
    # And once it is given back, nothing is left of it.
    if back:
        after = observed({**now, **back["members"]})
        assert members.given_back(observed(before), {"members": desired}, after, "stopped") is None


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["stopped", "running"]), min_size=1))
def test_step_by_step_ends_with_the_whole(goal: dict[str, str]) -> None:
    way = members.one_by_one({"members": goal}, observed({}), 1.0)
    assert [len(step["members"]) for step in way] == list(range(1, len(goal) + 1))
    assert way[-1] == {"members": goal}


def test_limits_are_given_back_in_stages_and_then_taken_away() -> None:
    back = {"limits": {"a": None, "b": 2.0}}
    way = members.one_by_one(back, observed({}, a=0.4, b=1.7), full=1.0)
    assert [step["limits"] for step in way] == [{"a": 0.6, "b": 1.8}, {"a": 0.8, "b": 1.9}, {"a": None, "b": 2.0}]


def test_those_at_the_least_stay_and_none_that_can_is_refused() -> None:
    one = members.throttled("x", observed({}, a=0.1, b=None), {"factor": 0.5}, full=1.0, least=0.1)
    assert one == {"limits": {"b": 0.5}}
    for limits, reason in (({"a": 0.1}, "at_limit"), ({}, "nothing_to_do")):
        with pytest.raises(Refused) as caught:
            members.throttled("x", observed({}, **limits), {"factor": 0.5}, full=1.0, least=0.1)
        assert caught.value.reason == reason
    with pytest.raises(Refused) as caught:
        members.throttled("x", observed({}, a=1.0), {"factor": 2}, full=1.0, least=0.1)
    assert caught.value.reason == "bad_args"


def test_a_limit_that_somebody_set_since_stays() -> None:
    before, desired = observed({}, a=None, b=1.0), {"limits": {"a": 0.5, "b": 0.5}}
    assert members.given_back(before, desired, observed({}, a=0.3, b=0.5), "stopped") == {"limits": {"b": 1.0}}
    assert members.given_back(before, desired, observed({}, a=0.3), "stopped") is None


@pytest.mark.parametrize(
    ("verb", "names"), [(Verb.PAUSE, ["a", "b"]), (Verb.RESUME, ["c"]), (Verb.STOP, ["a", "b", "e"])]
)
def test_only_those_that_are_not_so_already_are_switched(verb: Verb, names: list[str]) -> None:
    states = {"a": "running", "b": "unhealthy", "c": "paused", "d": "stopped", "e": "restarting"}
    assert sorted(members.switched("x", verb, observed(states))["members"]) == names
    with pytest.raises(Refused):
        members.switched("x", verb, observed({"d": "stopped"}))


def test_a_restart_is_reached_when_all_are_younger_and_well() -> None:
    desired = members.renewed("x", observed({"a": "running", "b": "unhealthy", "c": "paused"}), 100.0)
    assert desired == {"members": {"a": "running", "b": "running"}, "younger_than": 100.0}
    young = {"a": 101.0, "b": 101.0}
    both = {"a": "running", "b": "running"}
    assert members.reached(desired, {"members": both, "started": young, "limits": {}}, "stopped")
    for states, started in (
        ({**both, "b": "starting"}, young),
        (both, {"a": 99.0, "b": 101.0}),
        ({"a": "running"}, young),
    ):
        assert not members.reached(desired, {"members": states, "started": started, "limits": {}}, "stopped")
