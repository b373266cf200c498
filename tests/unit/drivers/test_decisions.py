"""What each driver decides from what it observed: pure, so without the thing itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.inventory import Target
from catalog.model import Verb
from remediator.clock import SystemClock
from remediator.drivers import DRIVERS
from remediator.drivers.base import Driver, State, StepContext, World
from remediator.drivers.counting import given_back, one_by_one, spread
from remediator.drivers.scaling import stages, wanted
from remediator.errors import Refused

WORLD = World(SystemClock(), cast(aiohttp.ClientSession, None), Path("/nowhere"))
SETTING = {"read": "SELECT v FROM t", "write": "UPDATE t SET v = :value"}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "haproxy": {"socket": "/s", "backend": "api", "servers": {"a": "api-1", "b": "api-2"}},
    "gunicorn": {"members": [{"name": "a", "pidfile": "/a"}, {"name": "b", "pidfile": "/b"}]},
    "process": {"endpoint": "ipc:///c", "watcher": "w"},
    "sql": {"url": "sqlite:///x", "settings": {"throttle": {**SETTING, "min": 2}, "pause": SETTING}},
    "governance": {},
}


def driver(kind: str) -> Driver:
    return DRIVERS[kind](WORLD)


def desired(kind: str, verb: Verb, args: Mapping[str, Any], observed: State, **context: Any) -> State:
    given_context = {"run_id": "run_1", "step": 0, "key": "run_1:0", "started_at": 100.0, **context}
    target = Target(name="thing", driver=kind, limits={"min": 1, "max": 4}, config=CONFIGS[kind])
    return driver(kind).desire(target, verb, args, observed, StepContext(**given_context))


def refusal(kind: str, verb: Verb, args: Mapping[str, Any], observed: State, **context: Any) -> str:
    with pytest.raises(Refused) as caught:
        desired(kind, verb, args, observed, **context)
    return caught.value.reason


class TestShift:
    both = {"weights": {"a": 100, "b": 100}, "status": {"a": "UP", "b": "UP"}}  # noqa: RUF012
    args = {"factor": 0.2}  # noqa: RUF012

    def test_the_hot_server_is_the_incidents_own(self) -> None:
        heat = {"api-1": 0.1, "api-2": 0.9}
        assert desired("haproxy", Verb.SHIFT, self.args, self.both, resource="api-1", heat=heat) == {
            "weights": {"a": 20}
        }

    def test_else_the_hottest_by_metric(self) -> None:
        heat = {"api-1": 0.1, "api-2": 0.9, "stranger": 5.0}
        assert desired("haproxy", Verb.SHIFT, self.args, self.both, resource="api", heat=heat) == {"weights": {"b": 20}}

    def test_not_a_number_is_not_hot(self) -> None:
        heat = {"api-1": 0.1, "api-2": float("nan")}
        assert desired("haproxy", Verb.SHIFT, self.args, self.both, heat=heat) == {"weights": {"a": 20}}

    def test_nobody_knows_which_is_hot(self) -> None:
        assert refusal("haproxy", Verb.SHIFT, self.args, self.both, resource="db") == "unknown_resource"

    @pytest.mark.parametrize("other", ["DOWN", "MAINT", "DRAIN"])
    def test_the_last_one_is_never_drained(self, other: str) -> None:
        observed = {"weights": {"a": 100, "b": 100}, "status": {"a": "UP", "b": other}}
        assert refusal("haproxy", Verb.SHIFT, self.args, observed, resource="api-1") == "last_one"

    def test_one_without_weight_does_not_count_as_another(self) -> None:
        observed = {"weights": {"a": 100, "b": 0}, "status": {"a": "UP", "b": "UP"}}
        assert refusal("haproxy", Verb.SHIFT, self.args, observed, resource="api-1") == "last_one"

    def test_at_the_minimum(self) -> None:
        observed = {"weights": {"a": 1, "b": 100}, "status": {"a": "UP", "b": "UP"}}
        assert refusal("haproxy", Verb.SHIFT, self.args, observed, resource="api-1") == "at_limit"

    @pytest.mark.parametrize("factor", [0, 1, -1, 2, "0.2", True, float("nan")])
    def test_a_factor_that_is_none(self, factor: Any) -> None:
        assert refusal("haproxy", Verb.SHIFT, {"factor": factor}, self.both, resource="api-1") == "bad_args"

    def test_what_somebody_else_set_since_stays(self) -> None:
        now = {"weights": {"a": 55, "b": 100}}
        assert driver("haproxy").give_back(Verb.SHIFT, self.both, {"weights": {"a": 20}}, now) is None

    def test_given_back_in_stages(self) -> None:
        now = {"weights": {"a": 20, "b": 100}}
        steps = driver("haproxy").release_steps(Verb.SHIFT, self.both, {"weights": {"a": 20}}, now)
        assert [step["weights"]["a"] for step in steps] == [47, 73, 100]


class TestScale:
    def test_the_emptiest_member_gets_the_next(self) -> None:
        observed = {"workers": {"a": 2, "b": 1}}
        assert desired("gunicorn", Verb.SCALE, {"by": 1}, observed) == {"workers": {"a": 2, "b": 2}}

    def test_never_above_the_maximum(self) -> None:
        observed = {"workers": {"a": 2, "b": 1}}
        assert desired("gunicorn", Verb.SCALE, {"by": 9}, observed) == {"workers": {"a": 2, "b": 2}}

    def test_at_the_maximum(self) -> None:
        assert refusal("gunicorn", Verb.SCALE, {"by": 1}, {"workers": {"a": 2, "b": 2}}) == "at_limit"
        assert refusal("process", Verb.SCALE, {"by": 1}, {"processes": 4}) == "at_limit"

    def test_more_than_the_maximum_is_never_cut(self) -> None:
        assert refusal("gunicorn", Verb.SCALE, {"by": 1}, {"workers": {"a": 5, "b": 5}}) == "at_limit"
        assert refusal("process", Verb.SCALE, {"by": 1}, {"processes": 9}) == "at_limit"

    def test_factors_round_up(self) -> None:
        assert desired("process", Verb.SCALE, {"factor": 1.5}, {"processes": 1}) == {"processes": 2}
        assert [wanted(count, {"factor": 1.5}) for count in (0, 1, 2, 3, 4)] == [1, 2, 3, 5, 6]
        assert wanted(10, {"factor": 1.1}) == 11  # and not 12 for 11.000000000000002

    @pytest.mark.parametrize(
        "args", [{}, {"by": 0}, {"by": -1}, {"by": 1.5}, {"by": True}, {"factor": 1}, {"factor": float("nan")},
                 {"factor": float("inf")}, {"by": 1, "factor": 2}, {"by": "1"}, {"to": 0}, {"down": 1}],
    )  # fmt: skip
    def test_arguments_that_make_no_sense(self, args: Mapping[str, Any]) -> None:
        assert refusal("process", Verb.SCALE, args, {"processes": 1}) == "bad_args"

    @settings(deadline=None)  # a busy machine is no failure
    @given(
        workers=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 20), min_size=1),
        more=st.integers(1, 20),
        others=st.integers(0, 5),
    )
    def test_giving_back_takes_exactly_what_was_added(self, workers: dict[str, int], more: int, others: int) -> None:
        grown = spread(workers, sum(workers.values()) + more)
        assert sum(grown.values()) == sum(workers.values()) + more
        assert all(grown[name] >= workers[name] for name in workers)
        later = {name: count + others for name, count in grown.items()}
        back = given_back(workers, grown, later)
        assert {**later, **back} == {name: count + others for name, count in workers.items()}
        way = one_by_one(later, back)
        assert len(way) == more
        assert way[-1] == back

    def test_who_was_shrunk_meanwhile_is_left_alone(self) -> None:
        assert given_back({"a": 2}, {"a": 3}, {"a": 2}) == {}
        assert given_back({"a": 2}, {"a": 4}, {"a": 3}) == {"a": 2}

    def test_restarting_keeps_the_count(self) -> None:
        observed = {"workers": {"a": 2, "b": 1}}
        assert desired("gunicorn", Verb.RESTART, {}, observed) == {**observed, "younger_than": 100.0}
        assert refusal("process", Verb.RESTART, {}, {"processes": 0}) == "nothing_to_do"

    def test_one_old_worker_left_is_not_reached(self) -> None:
        goal = {"workers": {"a": 2}, "younger_than": 100.0}
        reached = driver("gunicorn").reached
        assert not reached(Verb.RESTART, goal, {"workers": {"a": 2}, "oldest": {"a": 99.9}})
        assert not reached(Verb.RESTART, goal, {"workers": {"a": 1}, "oldest": {"a": 101.0}})
        assert reached(Verb.RESTART, goal, {"workers": {"a": 2}, "oldest": {"a": 100.1}})

    def test_standby(self) -> None:
        assert desired("process", Verb.START, {}, {"processes": 0}) == {"processes": 4}
        assert refusal("process", Verb.START, {}, {"processes": 4}) == "at_limit"
        assert desired("process", Verb.STOP, {}, {"processes": 2}) == {"processes": 0}
        assert refusal("process", Verb.STOP, {}, {"processes": 0}) == "at_limit"
        back = driver("process").give_back
        assert back(Verb.START, {"processes": 0}, {"processes": 4}, {"processes": 4}) == (Verb.STOP, {"processes": 0})
        assert back(Verb.STOP, {"processes": 2}, {"processes": 0}, {"processes": 0}) == (Verb.START, {"processes": 2})
        assert back(Verb.STOP, {"processes": 2}, {"processes": 0}, {"processes": 1}) is None


class TestSettings:
    def test_halves_stay_whole_where_they_were(self) -> None:
        assert desired("sql", Verb.THROTTLE, {"factor": 0.5}, {"value": 15}) == {"value": 7}
        assert desired("sql", Verb.THROTTLE, {"factor": 0.5}, {"value": 15.0}) == {"value": 7.5}

    def test_never_below_the_minimum_and_never_up(self) -> None:
        assert desired("sql", Verb.THROTTLE, {"factor": 0.5}, {"value": 3}) == {"value": 2}
        assert refusal("sql", Verb.THROTTLE, {"factor": 0.5}, {"value": 2}) == "at_limit"
        assert refusal("sql", Verb.THROTTLE, {"to": 50}, {"value": 40}) == "at_limit"
        assert desired("sql", Verb.THROTTLE, {"to": 10}, {"value": 40}) == {"value": 10}

    def test_paused_already(self) -> None:
        assert refusal("sql", Verb.PAUSE, {}, {"value": 1}) == "at_limit"
        assert refusal("sql", Verb.RESUME, {}, {"value": 0}) == "at_limit"

    def test_resume_gives_a_pause_back_unless_somebody_did(self) -> None:
        back = driver("sql").give_back
        assert back(Verb.PAUSE, {"value": 0}, {"value": 1}, {"value": 1}) == (Verb.RESUME, {"value": 0})
        assert back(Verb.PAUSE, {"value": 0}, {"value": 1}, {"value": 0}) is None

    @pytest.mark.parametrize(
        ("read", "write"),
        [
            ("SELECT 1; DROP TABLE t", SETTING["write"]),
            ("SELECT v FROM t WHERE n = :name", SETTING["write"]),
            (SETTING["read"], "UPDATE t SET v = 1"),
            (SETTING["read"], "UPDATE t SET v = :value WHERE n = :name"),
            (SETTING["read"], "UPDATE t SET v = :value; DELETE FROM t"),
            ("", SETTING["write"]),
        ],
    )
    def test_statements_that_are_not_one_reading_and_one_writing(self, read: str, write: str) -> None:
        with pytest.raises(ValueError, match="statement"):
            DRIVERS["sql"].Config.model_validate(
                {"url": "sqlite://", "settings": {"pause": {"read": read, "write": write}}}
            )


class TestGovern:
    now = {"strictness": 1, "ceiling": "tier_2", "supervised": False, "frozen": False}  # noqa: RUF012

    def govern(self, **args: Any) -> State:
        return desired("governance", Verb.GOVERN, args, self.now)

    def test_tightening(self) -> None:
        assert self.govern(change="strictness", by=1) == {"strictness": 2}
        assert self.govern(change="ceiling", by=-1) == {"ceiling": "tier_1"}
        assert self.govern(change="supervised", to=1) == {"supervised": True}
        assert self.govern(change="frozen", to=1) == {"frozen": True}

    def test_the_end_of_the_scale(self) -> None:
        end = {"strictness": 3, "ceiling": "tier_1", "supervised": True, "frozen": True}
        for args in (
            {"change": "strictness", "by": 1},
            {"change": "ceiling", "by": -1},
            {"change": "supervised", "to": 1},
        ):
            assert refusal("governance", Verb.GOVERN, args, end) == "at_limit"

    def test_nothing_loosens(self) -> None:
        for args in (
            {"change": "strictness", "by": -1},
            {"change": "ceiling", "by": 1},
            {"change": "supervised", "to": 0},
            {"change": "frozen", "to": 0},
        ):
            assert refusal("governance", Verb.GOVERN, args, self.now) == "loosens"
        assert refusal("governance", Verb.GOVERN, {"change": "evidence", "to": 1}, self.now) == "bad_args"

    def test_tighter_than_asked_is_reached(self) -> None:
        reached = driver("governance").reached
        assert reached(Verb.GOVERN, {"ceiling": "tier_2"}, {"ceiling": "tier_1"})
        assert not reached(Verb.GOVERN, {"ceiling": "tier_1"}, {"ceiling": "tier_2"})
        assert reached(Verb.GOVERN, {"strictness": 1}, {"strictness": 3})


@settings(deadline=None)
@given(st.integers(0, 256), st.integers(0, 256), st.integers(1, 6))
def test_stages_lead_to_the_goal_without_turning_back(now: int, goal: int, count: int) -> None:
    way = stages(now, goal, count)
    assert way[-1:] == ((goal,) if goal != now else ())
    assert list(way) == sorted(way, reverse=goal < now)
    assert len(set(way)) == len(way) <= count
