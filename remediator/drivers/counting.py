"""Arithmetic over a pool that several members hold (masters, nodes). Pure."""

from __future__ import annotations

from collections.abc import Mapping


def spread(workers: Mapping[str, int], total: int) -> dict[str, int]:
    """The same members holding `total` workers: each further one goes to the member with the fewest, first on a tie."""
    goal = dict(workers)
    while sum(goal.values()) < total:
        emptiest = min(goal, key=lambda name: goal[name])
        goal[emptiest] += 1
    return goal


def given_back(before: Mapping[str, int], desired: Mapping[str, int], observed: Mapping[str, int]) -> dict[str, int]:
    """What to set so that only our own growth goes: members that others grew since keep what others added.

    A member that somebody already shrank to what it was before is left alone.
    """
    goal = {}
    for name, count in desired.items():
        grown = count - before.get(name, count)
        if grown > 0 and observed.get(name, 0) > before[name]:
            goal[name] = max(before[name], observed[name] - grown)
    return goal


def one_by_one(observed: Mapping[str, int], goal: Mapping[str, int]) -> tuple[dict[str, int], ...]:
    """The way down from what is observed to `goal`, one worker at a time, the fullest member first."""
    now = {name: observed[name] for name in goal}
    steps = []
    while higher := [name for name in goal if now[name] > goal[name]]:
        fullest = max(higher, key=lambda name: now[name])
        now = now | {fullest: now[fullest] - 1}
        steps.append(now)
    return tuple(steps)
