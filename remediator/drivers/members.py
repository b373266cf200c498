"""Targets that are several things of one kind, each by name: containers, units.

A desired state names only the members that it changes, and what each should be, so that giving it back touches nobody
else's change: `{"members": {"web-2": "running"}}`, `{"limits": {"web-1": 0.5}}`, and with `younger_than` a restart. An
observed state has `members` (name: state), `started` (name: epoch seconds) and `limits` (name: limit; None is without
limit). All pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from catalog.model import Verb
from remediator.drivers.base import State
from remediator.drivers.limiting import lowered
from remediator.drivers.scaling import stages
from remediator.errors import Refused

RUNNING, STARTING, UNHEALTHY, PAUSED, STOPPED = "running", "starting", "unhealthy", "paused", "stopped"
ALIVE = frozenset({RUNNING, STARTING, UNHEALTHY})
OPPOSITE: Mapping[Verb, Verb] = {
    Verb.PAUSE: Verb.RESUME,
    Verb.RESUME: Verb.PAUSE,
    Verb.START: Verb.STOP,
    Verb.STOP: Verb.START,
}


def alive(observed: State) -> list[str]:
    """Names of the members that live, paused ones not counted."""
    return [name for name, state in observed["members"].items() if state in ALIVE]


def switched(name: str, verb: Verb, observed: State) -> State:
    """Every member of `name` that is not so already, paused, resumed or stopped. Raises Refused where there is none."""
    goal = {Verb.PAUSE: PAUSED, Verb.RESUME: RUNNING, Verb.STOP: STOPPED}[verb]
    before = {Verb.PAUSE: ALIVE, Verb.RESUME: {PAUSED}, Verb.STOP: {*ALIVE, "restarting"}}[verb]
    names = [each for each, state in observed["members"].items() if state in before]
    if not names:
        raise Refused(f"{name} has nothing to {verb}", reason="at_limit")
    return {"members": dict.fromkeys(names, goal)}


def renewed(name: str, observed: State, since: float) -> State:
    """Every living member of `name`, younger than this. Raises Refused where there is none."""
    names = alive(observed)
    if not names:
        raise Refused(f"{name} has nothing running to restart", reason="nothing_to_do")
    return {"members": dict.fromkeys(names, RUNNING), "younger_than": since}


def throttled(name: str, observed: State, args: Mapping[str, Any], full: float, least: float) -> State:
    """Every living member of `name` with a lower limit; those that are at the least already stay.

    `full` is what a member without a limit counts as. Raises Refused where no limit can be lower.
    """
    limits: dict[str, float] = {}
    refusal: Refused | None = None
    for each, now in observed["limits"].items():
        try:
            limits[each] = round(lowered(each, float(full if now is None else now), args, least), 3)
        except Refused as refused:
            if refused.reason != "at_limit":
                raise
            refusal = refused
    if not limits:
        raise refusal or Refused(f"{name} has nothing running to throttle", reason="nothing_to_do")
    return {"limits": limits}


def reached(desired: State, observed: State, absent: str) -> bool:
    """Does it hold for each that is named? One that is not observed is `absent`."""
    states, since = observed["members"], desired.get("younger_than")
    return (
        all(states.get(name, absent) == state for name, state in desired.get("members", {}).items())
        and (since is None or all(observed["started"].get(name, 0) > since for name in desired["members"]))
        and all(
            name in observed["limits"] and same(observed["limits"][name], limit)
            for name, limit in desired.get("limits", {}).items()
        )
    )


def given_back(before: State, desired: State, observed: State, absent: str) -> State | None:
    """What undoes exactly this change, where it still stands; None where nothing is left of it."""
    if "younger_than" in desired:
        return None
    if "limits" in desired:
        limits = {
            name: before["limits"].get(name)
            for name, limit in desired["limits"].items()
            # Whoever set another limit since then meant it.
            if name in observed["limits"] and same(observed["limits"][name], limit)
        }
        return {"limits": limits} if limits else None
    back = {}
    for name, state in desired["members"].items():
        was, now = before["members"].get(name, absent), observed["members"].get(name, absent)
        if _kind(now) == _kind(state) != _kind(was):
            back[name] = _kind(was)
    return {"members": back} if back else None


def one_by_one(back: State, observed: State, full: float) -> tuple[State, ...]:
    """States that lead to `back`: one member more each, or limits raised in stages."""
    if "limits" not in back:
        # The one that came last goes first.
        ways = list(back["members"].items())
        return tuple({"members": dict(ways[-count:])} for count in range(1, len(ways) + 1))
    climbs = {
        name: stages(observed["limits"][name], full if limit is None else limit)
        for name, limit in back["limits"].items()
    }
    longest = max(len(climb) for climb in climbs.values())
    early = tuple(
        {"limits": {name: round(climb[min(step, len(climb) - 1)], 3) for name, climb in climbs.items() if climb}}
        for step in range(longest - 1)
    )
    return (*early, back)


def same(one: float | None, other: float | None) -> bool:
    """Whether two limits are the same, as far as a kernel tells them apart."""
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-3)


def _kind(state: str) -> str:
    return RUNNING if state in ALIVE else state
