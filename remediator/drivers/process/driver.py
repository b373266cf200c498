"""`scale`, `restart`, `start` and `stop` of one circus watcher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import zmq.asyncio
from pydantic import BaseModel, Field, StringConstraints

from catalog.inventory import Target
from catalog.model import Frozen, Verb
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.births import Birth, birth
from remediator.drivers.process.arbiter import Arbiter
from remediator.drivers.scaling import wanted
from remediator.errors import Refused, Transient

_POLL = 0.05
_ANSWER_WITHIN = 5.0

# Circus takes names as patterns in some commands.
WatcherName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$")]
Endpoint = Annotated[str, StringConstraints(pattern=r"^(ipc|tcp)://\S+$")]


class ProcessConfig(Frozen):
    endpoint: Endpoint
    """The arbiter's endpoint, on this machine."""
    watcher: WatcherName
    kill_after: float = Field(default=10.0, gt=0)
    """Seconds that a process may take to end during a restart before it is killed."""


class ProcessDriver:
    kind: ClassVar[str] = "process"
    verbs: ClassVar[frozenset[Verb]] = frozenset({Verb.SCALE, Verb.RESTART, Verb.START, Verb.STOP})
    Config: ClassVar[type[BaseModel]] = ProcessConfig

    def __init__(self, world: World) -> None:
        self._clock = world.clock
        self._context: zmq.asyncio.Context | None = None

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        config = ProcessConfig.model_validate(target.config)
        arbiter = self._arbiter(target, config)
        living = await self._living(arbiter, config.watcher)
        return {
            "processes": len(living),
            "goal": await arbiter.goal(config.watcher),
            "pids": [process.pid for process in living],
            "oldest": living[0].at if living else None,
        }

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        now, limits = observed["processes"], target.limits
        if verb is Verb.RESTART:
            if not now:
                raise Refused(f"{target.name} has no process to restart", reason="nothing_to_do")
            return {"processes": now, "younger_than": context.started_at}
        if verb is Verb.START:
            goal = limits.max
        elif verb is Verb.STOP:
            goal = 0
        else:
            goal = max(min(wanted(now, args), limits.max), limits.min)
        at_limit = goal <= now if verb in (Verb.SCALE, Verb.START) else goal == now
        if at_limit:
            raise Refused(f"{target.name} has {now} processes of {limits.max} allowed", reason="at_limit")
        return {"processes": goal}

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        config = ProcessConfig.model_validate(target.config)
        arbiter = self._arbiter(target, config)
        if verb is Verb.RESTART:
            await self._renew(arbiter, config, desired, self._clock.now() + target.step_timeout)
        else:
            await self._set(arbiter, config.watcher, desired["processes"])

    async def _set(self, arbiter: Arbiter, watcher: str, count: int) -> None:
        await arbiter.set_count(watcher, count)
        # A watcher that began with no processes is "stopped" and only keeps the number in mind.
        if count and await arbiter.status(watcher) == "stopped":
            await arbiter.start(watcher)

    async def _renew(self, arbiter: Arbiter, config: ProcessConfig, desired: State, deadline: float) -> None:
        """End the processes born before the plan one at a time, each only when all others are there."""
        count, since = desired["processes"], desired["younger_than"]
        while True:
            living = await self._living(arbiter, config.watcher)
            if len(living) < count:
                await self._set(arbiter, config.watcher, count)  # circus alone would look every few seconds only
            elif living[0].at > since:
                return
            else:
                await arbiter.kill(config.watcher, living[0].pid, config.kill_after)
                while living[0] in await self._living(arbiter, config.watcher):
                    await self._pause(config.watcher, deadline)
                continue
            await self._pause(config.watcher, deadline)

    async def _pause(self, watcher: str, deadline: float) -> None:
        if self._clock.now() >= deadline:
            raise Transient(f"the restart of {watcher} is not finished; it goes on where it stopped")
        await self._clock.sleep(_POLL)

    async def _living(self, arbiter: Arbiter, watcher: str) -> list[Birth]:
        """The watcher's processes as the kernel has them, the oldest first."""
        found = [birth(pid) for pid in await arbiter.pids(watcher)]
        return sorted((life for life in found if life is not None), key=lambda life: (life.ticks, life.pid))

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        if observed["processes"] != desired["processes"]:
            return False
        if verb is Verb.RESTART:
            return observed["oldest"] is not None and bool(observed["oldest"] > desired["younger_than"])
        return True

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        was, asked, now = before["processes"], desired["processes"], observed["processes"]
        if verb in (Verb.SCALE, Verb.START) and now > was:
            # What others added since then stays.
            return Verb.SCALE if was else Verb.STOP, {"processes": max(was, now - (asked - was))}
        if verb is Verb.STOP and now == asked and was > now:
            return Verb.START, {"processes": was}
        return None

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        back = self.give_back(verb, before, desired, observed)
        if back is None:
            return ()
        goal, now = back[1]["processes"], observed["processes"]
        way = range(now - 1, goal - 1, -1) if goal < now else range(now + 1, goal + 1)
        return tuple({"processes": count} for count in way)

    async def close(self) -> None:
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = None

    def _arbiter(self, target: Target, config: ProcessConfig) -> Arbiter:
        if self._context is None:
            self._context = zmq.asyncio.Context()
        return Arbiter(self._context, config.endpoint, self._clock, min(target.step_timeout, _ANSWER_WITHIN))
