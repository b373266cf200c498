"""`scale` and `restart` of pools, `throttle` of tasks, `pause` and `resume` of queues, by Celery's remote control."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel

from catalog.inventory import Target
from catalog.model import Verb
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.celery.pool import Pool, autoscaled, processes
from remediator.drivers.celery.rate import UNLIMITED, per_minute, same, written
from remediator.drivers.celery.remote import Remote
from remediator.drivers.celery.settings import CeleryConfig, Pause, Throttle
from remediator.drivers.counting import given_back, one_by_one, spread
from remediator.drivers.limiting import lowered
from remediator.drivers.scaling import grown, stages
from remediator.errors import Permanent, Refused

_PATIENCE = 5.0
_POOL = frozenset({Verb.SCALE, Verb.RESTART})


class CeleryDriver:
    kind: ClassVar[str] = "celery"
    verbs: ClassVar[frozenset[Verb]] = _POOL | {Verb.THROTTLE, Verb.PAUSE, Verb.RESUME}
    Config: ClassVar[type[BaseModel]] = CeleryConfig

    def __init__(self, world: World) -> None:
        self._clock = world.clock
        self._remotes: dict[str, Remote] = {}

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        config = _config(target)
        if verb in _POOL:
            stats = await self._ask(target, "stats")
            pids = {node: processes(node, stats[node]) for node in config.nodes}
            return {
                "processes": {node: len(found) for node, found in pids.items()},
                "pids": pids,
                "autoscaled": [node for node in config.nodes if "autoscaler" in stats[node]],
            }
        if verb is Verb.THROTTLE:
            return {"limits": await self._limits(target, _throttle(target))}
        return {"consuming": await self._consuming(target, _pause(target))}

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        if verb in _POOL:
            return _desired_pool(target, verb, args, observed)
        if verb is Verb.THROTTLE:
            return {"limits": _lowered(target, _throttle(target), args, observed["limits"])}
        wanted = sorted(_pause(target).queues) if verb is Verb.RESUME else []
        goal = {node: list(wanted) for node in observed["consuming"]}
        if goal == observed["consuming"]:
            raise Refused(f"{target.name} is {'consuming' if wanted else 'paused'} already", reason="at_limit")
        return {"consuming": goal}

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        strangers = sorted(_nodes(desired) - set(_config(target).nodes))
        if strangers:
            raise Refused(f"{', '.join(strangers)}: no node of {target.name} any more", reason="unknown_member")
        if verb in _POOL:
            await self._resize(target, verb, desired)
        elif verb is Verb.THROTTLE:
            await self._limit(target, desired["limits"])
        else:
            await self._consume(target, desired["consuming"])

    async def _resize(self, target: Target, verb: Verb, desired: State) -> None:
        config, remote = _config(target), self._remote(target)
        # A little before the step's own end, so that what is missing is said.
        deadline = self._clock.now() + 0.9 * target.step_timeout
        for node, count in desired["processes"].items():
            pool = Pool(remote, node, self._clock, _patience(target), deadline)
            if verb is Verb.RESTART:
                await pool.renew(desired["without"][node], count, config.surge)
            else:
                await pool.resize(count)

    async def _limit(self, target: Target, limits: Mapping[str, Mapping[str, str]]) -> None:
        now = await self._limits(target, _throttle(target))
        for node, tasks in limits.items():
            for task, rate in tasks.items():
                if not same(now[node].get(task, UNLIMITED), rate):
                    await self._tell(target, "rate_limit", node, task_name=task, rate_limit=rate)

    async def _consume(self, target: Target, consuming: Mapping[str, list[str]]) -> None:
        now = await self._consuming(target, _pause(target))
        for node, queues in consuming.items():
            for queue in sorted(set(now[node]) - set(queues)):
                await self._tell(target, "cancel_consumer", node, queue=queue)
            for queue in sorted(set(queues) - set(now[node])):
                await self._tell(target, "add_consumer", node, queue=queue)

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        if verb is Verb.THROTTLE:
            return all(
                same(observed["limits"].get(node, {}).get(task, UNLIMITED), rate)
                for node, tasks in desired["limits"].items()
                for task, rate in tasks.items()
            )
        if verb in (Verb.PAUSE, Verb.RESUME):
            return all(observed["consuming"].get(node) == queues for node, queues in desired["consuming"].items())
        if any(observed["processes"].get(node) != count for node, count in desired["processes"].items()):
            return False
        return verb is Verb.SCALE or not any(
            pid in observed["pids"][node] for node, old in desired["without"].items() for pid in old
        )

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        if verb is Verb.SCALE:
            goal = given_back(before["processes"], desired["processes"], observed["processes"])
            return (Verb.SCALE, {"processes": goal}) if goal else None
        # Whoever set something else since then meant it.
        if verb is Verb.RESTART or not self.reached(verb, desired, observed) or self.reached(verb, before, observed):
            return None
        if verb is Verb.THROTTLE:
            was = {
                node: {task: before["limits"][node][task] for task in tasks}
                for node, tasks in desired["limits"].items()
            }
            return Verb.THROTTLE, {"limits": was}
        opposite = Verb.RESUME if verb is Verb.PAUSE else Verb.PAUSE
        return opposite, {"consuming": {node: before["consuming"][node] for node in desired["consuming"]}}

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        back = self.give_back(verb, before, desired, observed)
        if back is None:
            return ()
        if verb is Verb.SCALE:
            return tuple({"processes": way} for way in one_by_one(observed["processes"], back[1]["processes"]))
        if verb is Verb.THROTTLE:
            return _raised(observed["limits"], back[1]["limits"])
        return (back[1],)

    async def close(self) -> None:
        for remote in self._remotes.values():
            remote.close()
        self._remotes.clear()

    async def _limits(self, target: Target, setting: Throttle) -> dict[str, dict[str, str]]:
        """Node → task → rate as Celery writes it."""
        answers = await self._ask(target, "registered", taskinfoitems=["rate_limit"])
        return {node: _rates(node, answer, setting) for node, answer in answers.items()}

    async def _consuming(self, target: Target, setting: Pause) -> dict[str, list[str]]:
        """Node → which of the inventory's queues it consumes from."""
        answers = await self._ask(target, "active_queues")
        found = {}
        for node, queues in answers.items():
            if not isinstance(queues, list) or not all(isinstance(queue, dict) for queue in queues):
                raise Permanent(f"{node} answered no list of queues")
            found[node] = sorted({str(queue.get("name")) for queue in queues} & set(setting.queues))
        return found

    async def _ask(self, target: Target, command: str, **arguments: Any) -> Mapping[str, Any]:
        return await self._remote(target).ask(command, _config(target).nodes, _patience(target), **arguments)

    async def _tell(self, target: Target, command: str, node: str, **arguments: Any) -> None:
        said = await self._remote(target).tell(command, node, _patience(target), **arguments)
        if said is not None:
            raise Permanent(f"{node} refused {command!r}: {said}")

    def _remote(self, target: Target) -> Remote:
        """One per broker, kept: each has a thread and a reply queue of its own."""
        config = _config(target)
        key = config.model_dump_json(include={"broker", "password_file", "broker_options"}) + f"{_patience(target):g}"
        if key not in self._remotes:
            self._remotes[key] = Remote(config)
        return self._remotes[key]


def _config(target: Target) -> CeleryConfig:
    return CeleryConfig.model_validate(target.config)


def _patience(target: Target) -> float:
    return min(_PATIENCE, target.step_timeout / 3)


def _nodes(state: State) -> set[str]:
    return {node for part in state.values() for node in part}


def _throttle(target: Target) -> Throttle:
    setting = _config(target).throttle
    if setting is None:
        raise Refused(f"{target.name} names no tasks to throttle in the inventory", reason="missing_capability")
    return setting


def _pause(target: Target) -> Pause:
    setting = _config(target).pause
    if setting is None:
        raise Refused(f"{target.name} names no queues to pause in the inventory", reason="missing_capability")
    return setting


def _desired_pool(target: Target, verb: Verb, args: Mapping[str, Any], observed: State) -> State:
    if observed["autoscaled"]:
        raise autoscaled(observed["autoscaled"][0])
    now: Mapping[str, int] = observed["processes"]
    if verb is Verb.SCALE:
        return {"processes": spread(now, grown(target.name, sum(now.values()), target.limits, args))}
    if not any(now.values()):
        raise Refused(f"{target.name} has no process to restart", reason="nothing_to_do")
    return {"processes": dict(now), "without": dict(observed["pids"])}


def _rates(node: str, answer: object, setting: Throttle) -> dict[str, str]:
    """From Celery's `["tasks.learn [rate_limit=30/m]", "tasks.other"]`."""
    if not isinstance(answer, list) or not all(isinstance(line, str) for line in answer):
        raise Permanent(f"{node} answered no list of tasks")
    told = {name: rest for name, _, rest in (line.partition(" ") for line in answer)}
    missing = [task for task in setting.tasks if task not in told]
    if missing:
        raise Permanent(f"{node} has no task {', '.join(missing)}: correct the inventory")
    return {task: told[task].removeprefix("[rate_limit=").removesuffix("]") or UNLIMITED for task in setting.tasks}


def _lowered(
    target: Target, setting: Throttle, args: Mapping[str, Any], limits: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """What is to become of each limit that may still be lower. Raises Refused where none may."""
    goal: dict[str, dict[str, str]] = {}
    refusal: Refused | None = None
    for node, tasks in limits.items():
        for task, rate in tasks.items():
            try:
                lower = lowered(f"{task} on {node}", _counted(target, setting, task, rate), args, setting.min)
            except Refused as error:
                refusal = error
            else:
                goal.setdefault(node, {})[task] = written(lower)
    if not goal and refusal is not None:
        raise refusal
    return goal


def _counted(target: Target, setting: Throttle, task: str, rate: str) -> float:
    """Tasks a minute, a whole number where it is one."""
    now = per_minute(rate)
    if math.isinf(now):
        if setting.unlimited_is is None:
            raise Refused(
                f"{task} of {target.name} has no limit to take a share of: name `unlimited_is` in the inventory",
                reason="missing_capability",
            )
        now = setting.unlimited_is
    return int(now) if now == int(now) else now


def _raised(now: Mapping[str, Mapping[str, str]], goal: Mapping[str, Mapping[str, str]]) -> tuple[State, ...]:
    """The way back in a few stages; a limit that is lifted is lifted in the last one."""
    ways = {
        (node, task): [written(rate) for rate in stages(per_minute(now[node][task]), per_minute(rate))][:-1]
        if math.isfinite(per_minute(rate))
        else []
        for node, tasks in goal.items()
        for task, rate in tasks.items()
    }
    longest = max(len(way) for way in ways.values())
    steps: list[State] = []
    for stage in range(longest):
        step: dict[str, dict[str, str]] = {}
        for (node, task), way in ways.items():
            step.setdefault(node, {})[task] = way[min(stage, len(way) - 1)] if way else now[node][task]
        steps.append({"limits": step})
    return (*steps, {"limits": goal})
