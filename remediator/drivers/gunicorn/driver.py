"""`scale` and `restart` of the workers of one or more gunicorn masters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, Field, model_validator

from catalog.inventory import Target
from catalog.model import Frozen, Verb
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.counting import given_back, one_by_one, spread
from remediator.drivers.gunicorn.pool import Member, Pool
from remediator.drivers.permission import Permission
from remediator.drivers.scaling import wanted
from remediator.errors import Refused, Transient


class GunicornConfig(Frozen):
    members: tuple[Member, ...] = Field(min_length=1)
    boot_within: float = Field(default=20.0, gt=0)
    """Seconds that a new worker may take to boot during a restart."""
    kill_after: float = Field(default=10.0, gt=0)
    """Seconds that an old worker may take to finish its requests during a restart before it is killed."""

    @model_validator(mode="after")
    def _names_are_distinct(self) -> GunicornConfig:
        names = [member.name for member in self.members]
        if len(set(names)) != len(names):
            raise ValueError("two members have the same name")
        return self


class GunicornDriver:
    kind: ClassVar[str] = "gunicorn"
    verbs: ClassVar[frozenset[Verb]] = frozenset({Verb.SCALE, Verb.RESTART})
    Config: ClassVar[type[BaseModel]] = GunicornConfig

    def __init__(self, world: World) -> None:
        self._clock = world.clock

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        pools = self._pools(target)
        workers = {name: pool.workers() for name, pool in pools.items()}
        return {
            "workers": {name: len(found) for name, found in workers.items()},
            "pids": {name: [worker.pid for worker in found] for name, found in workers.items()},
            "oldest": {name: found[0].at if found else None for name, found in workers.items()},
        }

    async def may(self, target: Target, verb: Verb, context: StepContext) -> Permission:
        for pool in self._pools(target).values():
            pool.check_rights()
        return Permission(True)

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        workers: Mapping[str, int] = observed["workers"]
        if verb is Verb.RESTART:
            return {"workers": dict(workers), "younger_than": context.started_at}
        total = sum(workers.values())
        goal = min(wanted(total, args), target.limits.max)
        if goal <= total:
            raise Refused(f"{target.name} has {total} workers of {target.limits.max} allowed", reason="at_limit")
        return {"workers": spread(workers, max(goal, target.limits.min))}

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        config = GunicornConfig.model_validate(target.config)
        pools = self._pools(target)
        strangers = sorted(set(desired["workers"]) - set(pools))
        if strangers:
            raise Refused(f"{', '.join(strangers)}: no member of {target.name} any more", reason="unknown_member")
        deadline = self._clock.now() + target.step_timeout
        for name, count in desired["workers"].items():
            if verb is Verb.RESTART:
                await self._renew(pools[name], max(count, 1), desired["younger_than"], config, deadline)
            else:
                await pools[name].resize(count)

    async def _renew(self, pool: Pool, count: int, since: float, config: GunicornConfig, deadline: float) -> None:
        """Replace the workers born before `since` one at a time: one more comes, then the oldest goes.

        A crash in between leaves one worker too many; beginning again sees that and goes on from there.
        """
        while old := [worker for worker in pool.workers() if worker.at <= since]:
            if self._clock.now() >= deadline:
                raise Transient(f"gunicorn {pool.name}: {len(old)} old workers are still to be replaced")
            await pool.resize(count + 1)
            await pool.all_serve(config.boot_within)
            await pool.resize(count)
            await pool.gone(old[0], config.kill_after)
        await pool.resize(count)

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        if any(observed["workers"].get(name) != count for name, count in desired["workers"].items()):
            return False
        if verb is not Verb.RESTART:
            return True
        oldest = [observed["oldest"][name] for name, count in desired["workers"].items() if count]
        return all(born is not None and born > desired["younger_than"] for born in oldest)

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        if verb is not Verb.SCALE:
            return None
        goal = given_back(before["workers"], desired["workers"], observed["workers"])
        return (Verb.SCALE, {"workers": goal}) if goal else None

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        back = self.give_back(verb, before, desired, observed)
        if back is None:
            return ()
        return tuple({"workers": workers} for workers in one_by_one(observed["workers"], back[1]["workers"]))

    async def close(self) -> None:
        return None

    def _pools(self, target: Target) -> Mapping[str, Pool]:
        config = GunicornConfig.model_validate(target.config)
        return {member.name: Pool(member, self._clock) for member in config.members}
