"""`scale`, `throttle`, `pause` and `resume` by playbooks of the team's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel

from catalog.inventory import Target
from catalog.model import Verb
from remediator.drivers.ansible.runner import Runner
from remediator.drivers.ansible.settings import AnsibleConfig, Pause, Play, Throttle
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.limiting import lowered
from remediator.drivers.scaling import grown, stages
from remediator.errors import Permanent, Refused

_LONGEST_WORD = 200
_OPPOSITE = {Verb.PAUSE: Verb.RESUME, Verb.RESUME: Verb.PAUSE}


class AnsibleDriver:
    kind: ClassVar[str] = "ansible"
    verbs: ClassVar[frozenset[Verb]] = frozenset({Verb.SCALE, Verb.THROTTLE, Verb.PAUSE, Verb.RESUME})
    Config: ClassVar[type[BaseModel]] = AnsibleConfig

    def __init__(self, world: World) -> None:
        self._folder = world.data_dir / "ansible"
        self._redactor = world.redactor

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        return {"value": await self._read(target, _play(target, verb))}

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        play, now = _play(target, verb), observed["value"]
        if isinstance(play, Throttle):
            return {"value": lowered(target.name, _number(target, now), args, play.min)}
        if isinstance(play, Pause):
            goal = play.running if verb is Verb.RESUME else play.paused
            if _same(goal, now):
                word = "running" if verb is Verb.RESUME else "paused"
                raise Refused(f"{target.name} is {word} already", reason="at_limit")
            return {"value": goal}
        if not isinstance(now, int):
            raise Permanent(f"{target.name} reads {now!r}, which is no count")
        return {"value": grown(target.name, now, target.limits, args)}

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        play, value = _play(target, verb), desired["value"]
        if _same(await self._read(target, play), value):
            return
        variables = {play.variable: value}
        await self._runner(target).run(play.apply, check=False, variables=variables, timeout=target.step_timeout)
        if not _same(found := await self._read(target, play), value):
            raise Permanent(f"{play.apply} ended well, but {target.name} reads {found!r} instead of {value!r}")

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        return _same(observed["value"], desired["value"])

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        was, asked, now = before["value"], desired["value"], observed["value"]
        if verb is Verb.SCALE:
            # What others added since then stays.
            return (verb, {"value": max(was, now - (asked - was))}) if now > was and asked > was else None
        # Whoever set something else since then meant it.
        if not _same(now, asked) or _same(was, asked):
            return None
        return _OPPOSITE.get(verb, verb), {"value": was}

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        back = self.give_back(verb, before, desired, observed)
        if back is None:
            return ()
        if verb in _OPPOSITE:
            return (back[1],)
        goal, now = back[1]["value"], observed["value"]
        way = range(now - 1, goal - 1, -1) if verb is Verb.SCALE else stages(now, goal)
        return tuple({"value": value} for value in way)

    async def close(self) -> None:
        return None

    async def _read(self, target: Target, play: Play) -> int | float | str:
        told = await self._runner(target).run(
            play.read, check=play.check, variables={}, timeout=max(target.step_timeout / 3, 1)
        )
        if told.changed and not play.check:
            raise Permanent(f"{play.read} is to read, but it changed something: correct it, or read in check mode")
        return _plain(play.read, told.value)

    def _runner(self, target: Target) -> Runner:
        return Runner(AnsibleConfig.model_validate(target.config), self._folder / target.name, self._redactor)


def _play(target: Target, verb: Verb) -> Play:
    play = AnsibleConfig.model_validate(target.config).play(verb)
    if play is None:
        raise Refused(f"{target.name} names no playbook to {verb} in the inventory", reason="missing_capability")
    return play


def _plain(file: str, value: object) -> int | float | str:
    """A number where it is one, also one that Ansible made a text of."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str) or not value:
        raise Permanent(f"{file} tells no value: let it end with set_stats: {{data: {{grace_value: …}}}}")
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    if len(value) > _LONGEST_WORD:
        raise Permanent(f"{file} tells {len(value)} characters, which is no value: at most {_LONGEST_WORD}")
    return value


def _number(target: Target, value: int | float | str) -> int | float:
    if isinstance(value, str) or not math.isfinite(value):
        raise Permanent(f"the limit of {target.name} reads {value!r}, which is no number")
    return value


def _same(one: int | float | str, other: int | float | str) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return str(one) == str(other)
    return math.isclose(one, other, rel_tol=1e-6)
