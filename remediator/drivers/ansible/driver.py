"""`scale`, `throttle`, `pause`, `resume`, `restart` and `run` by playbooks of the team's own."""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel

from catalog.inventory import Target
from catalog.model import Verb
from remediator.drivers.ansible.runner import Runner, Told
from remediator.drivers.ansible.settings import AnsibleConfig, Pause, Play, Restart, Run, Throttle, Work
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.command.report import Report
from remediator.drivers.limiting import lowered
from remediator.drivers.permission import Permission
from remediator.drivers.scaling import grown, stages
from remediator.errors import Permanent, Refused, Transient

_LONGEST_WORD = 200
_OPPOSITE = {Verb.PAUSE: Verb.RESUME, Verb.RESUME: Verb.PAUSE}


class AnsibleDriver:
    kind: ClassVar[str] = "ansible"
    verbs: ClassVar[frozenset[Verb]] = frozenset(
        {Verb.SCALE, Verb.THROTTLE, Verb.PAUSE, Verb.RESUME, Verb.RESTART, Verb.RUN}
    )
    Config: ClassVar[type[BaseModel]] = AnsibleConfig

    def __init__(self, world: World) -> None:
        self._folder = world.data_dir / "ansible"
        self._redactor = world.redactor

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        if verb is Verb.RUN:
            return _report(target, context).as_state()
        play = _play(target, verb)
        value = await self._read(target, play)
        return {"born": _number(target, value)} if isinstance(play, Restart) else {"value": value}

    async def may(self, target: Target, verb: Verb, context: StepContext) -> Permission:
        config = AnsibleConfig.model_validate(target.config)
        work = _job(target) if verb is Verb.RUN else _play(target, verb)
        if not os.access(config.folder / work.apply, os.R_OK):
            return Permission(False, f"may not read {config.folder / work.apply}")
        return Permission(None, "what the hosts allow shows when it is tried")

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        if verb in (Verb.RUN, Verb.RESTART) and args:
            raise Refused(f"{verb} takes no arguments: what is run stands in the inventory", reason="bad_args")
        if verb is Verb.RUN:
            return {"report": str(_report(target, context).path)}
        if verb is Verb.RESTART:
            return {"younger_than": context.started_at}
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
        if verb is Verb.RUN:
            await self._run(target, desired, context)
        elif verb is Verb.RESTART:
            await self._restart(target, desired["younger_than"])
        else:
            await self._set(target, _play(target, verb), desired["value"])

    async def _set(self, target: Target, play: Play, value: int | float | str) -> None:
        if _same(await self._read(target, play), value):
            return
        await self._apply(target, play, {play.variable: value})
        if not _same(found := await self._read(target, play), value):
            raise Permanent(f"{play.apply} ended well, but {target.name} reads {found!r} instead of {value!r}")

    async def _restart(self, target: Target, since: float) -> None:
        play = _play(target, Verb.RESTART)
        if _number(target, await self._read(target, play)) > since:
            return
        await self._apply(target, play, {play.variable: since})
        if (found := _number(target, await self._read(target, play))) <= since:
            raise Permanent(f"{play.apply} ended well, but {target.name} runs since {found:g}, before it was asked for")

    async def _run(self, target: Target, desired: State, context: StepContext) -> None:
        report = _report(target, context)
        if desired["report"] != str(report.path):
            raise Permanent(f"the report {desired['report']} is not this step's")
        if report.whole():
            return  # an earlier attempt did it
        run = _job(target)
        # No two attempts overlap: the target's lock is held by what an earlier one left running.
        told = await self._apply(target, run, {})
        if told.report in (None, ""):
            raise Permanent(f"{run.apply} tells no report: let it end with set_stats: {{data: {{grace_report: …}}}}")
        text = told.report if isinstance(told.report, str) else json.dumps(told.report, ensure_ascii=False, indent=2)
        try:
            await asyncio.to_thread(report.write, self._redactor().output(text.encode("utf-8", "replace")))
        except PermissionError as error:
            raise Refused(f"may not write {report.path.parent}: {error.strerror}", reason="permission") from error
        except OSError as error:
            raise Transient(f"{report.path} cannot be written: {error.strerror}") from error

    async def _apply(self, target: Target, work: Work, variables: Mapping[str, Any]) -> Told:
        return await self._runner(target).run(
            work.apply, check=False, variables={**work.variables, **variables}, timeout=target.step_timeout
        )

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        if verb is Verb.RUN:
            return bool(observed["report"] == desired["report"] and observed["bytes"] > 0)
        if verb is Verb.RESTART:
            return bool(observed["born"] > desired["younger_than"])
        return _same(observed["value"], desired["value"])

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        if verb in (Verb.RUN, Verb.RESTART):
            return None
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
            play.read, check=play.check, variables=play.variables, timeout=max(target.step_timeout / 3, 1)
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


def _job(target: Target) -> Run:
    run = AnsibleConfig.model_validate(target.config).run
    if run is None:
        raise Refused(f"{target.name} names no playbook to run in the inventory", reason="missing_capability")
    return run


def _report(target: Target, context: StepContext) -> Report:
    return Report.of(context.reports, context.run_id, context.step, _job(target).suffix)


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
        raise Permanent(f"{target.name} reads {value!r}, which is no number")
    return value


def _same(one: int | float | str, other: int | float | str) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return str(one) == str(other)
    return math.isclose(one, other, rel_tol=1e-6)
