"""`scale`, `restart`, `start`, `stop` and `throttle` of one service, or of a template's numbered instances."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field, StringConstraints

from catalog.inventory import Target
from catalog.model import Frozen, Seconds, Verb
from remediator.drivers import members
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.members import RUNNING, STOPPED
from remediator.drivers.permission import Permission
from remediator.drivers.scaling import grown
from remediator.drivers.systemd.manager import FAILED, Manager, Unit
from remediator.errors import Permanent, Refused, Transient

_POLL = 0.05
_ANSWER_WITHIN = 5.0

# What systemd allows in names, without patterns and without escapes, and never an option.
UnitName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*@?\.service$", max_length=200)]
BusPath = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9_./-]+$", max_length=100)]


class CpuQuota(Frozen):
    """How far processor time may be throttled, in percent of one processor."""

    full: float = Field(default=100.0, ge=1, le=100_000)
    """What a unit without a quota counts as."""
    min: float = Field(default=10.0, ge=1, le=100_000)
    """Never below this."""


class SystemdConfig(Frozen):
    unit: UnitName
    """`api.service`, or the template `worker@.service`, whose instances 1, 2, 3… are then the target."""
    bus: BusPath = "/run/dbus/system_bus_socket"
    """The bus' socket."""
    well_after: Annotated[Seconds, Field(le=300)] = 1.0
    """How long a restarted unit must run before the next one is restarted."""
    cpu_quota: CpuQuota | None = None
    """Allows `throttle`."""


class SystemdDriver:
    kind: ClassVar[str] = "systemd"
    verbs: ClassVar[frozenset[Verb]] = frozenset({Verb.SCALE, Verb.RESTART, Verb.START, Verb.STOP, Verb.THROTTLE})
    Config: ClassVar[type[BaseModel]] = SystemdConfig

    def __init__(self, world: World) -> None:
        self._clock = world.clock

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        config = SystemdConfig.model_validate(target.config)
        async with _manager(target, config) as manager:
            units = await _units(manager, config)
        # An instance that does not run is forgotten by systemd sooner or later: it is as if it never was.
        kept = [unit for unit in units if unit.state != STOPPED or not _is_template(config)]
        return {
            "members": {unit.name: unit.state for unit in kept},
            "started": {unit.name: unit.started for unit in kept if unit.alive},
            "limits": {unit.name: unit.quota for unit in kept if unit.alive},
            "pids": {unit.name: unit.pid for unit in kept if unit.alive},
            "full": config.cpu_quota.full if config.cpu_quota else 100.0,
        }

    async def may(self, target: Target, verb: Verb, context: StepContext) -> Permission:
        if os.geteuid() == 0:
            return Permission(True)
        # It would need the unit's name to judge, and takes that from nobody but root and systemd.
        return Permission(None, "what polkit allows shows when it is tried")

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        config = SystemdConfig.model_validate(target.config)
        if verb is Verb.THROTTLE:
            if config.cpu_quota is None:
                raise Refused(f"{target.name} has no cpu_quota in the inventory", reason="missing_capability")
            quota = config.cpu_quota
            return members.throttled(target.name, observed, args, quota.full, quota.min)
        if verb is Verb.SCALE:
            if not _is_template(config):
                raise Refused(f"{config.unit} is no template: it cannot be scaled", reason="missing_capability")
            standing = _standing(observed)
            return _more(config, standing, grown(target.name, len(standing), target.limits, args))
        if args:
            raise Refused(f"{verb} takes no arguments", reason="bad_args")
        if verb is Verb.RESTART:
            return members.renewed(target.name, observed, context.started_at)
        if verb is Verb.STOP:
            return members.switched(target.name, verb, observed)
        goal, standing = target.limits.max if _is_template(config) else 1, _standing(observed)
        if goal <= len(standing):
            raise Refused(f"{target.name} has {len(standing)} running of {goal} allowed", reason="at_limit")
        return _more(config, standing, goal)

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        config = SystemdConfig.model_validate(target.config)
        deadline = self._clock.now() + target.step_timeout
        named = {*desired.get("members", {}), *desired.get("limits", {})}
        if strange := sorted(name for name in named if not _is_ours(config, name)):
            raise Refused(f"{strange[0]} is not {config.unit}: it is not touched", reason="not_ours")
        async with _manager(target, config) as manager:
            if "younger_than" in desired:
                await self._renew(manager, config, desired, deadline)
                return
            for name, percent in desired.get("limits", {}).items():
                if not members.same((await manager.unit(name)).quota, percent):
                    await manager.set_quota(name, percent)
            for name, state in desired.get("members", {}).items():
                await _bring(manager, name, state)
            await self._settle(manager, desired.get("members", {}), deadline)

    async def _renew(self, manager: Manager, config: SystemdConfig, desired: State, deadline: float) -> None:
        """Restart the named units that are older than the plan, one at a time, each only when all others run again."""
        since = desired["younger_than"]
        for name in desired["members"]:
            if (await manager.unit(name)).started > since:
                continue  # an earlier attempt did it
            await manager.restart(name)
            well_since: float | None = None
            while well_since is None or self._clock.now() - well_since < config.well_after:
                unit = await manager.unit(name)
                if unit.state == RUNNING and unit.started > since:
                    well_since = self._clock.now() if well_since is None else well_since
                elif unit.state in (FAILED, STOPPED) and not unit.busy:
                    said = f"{name} is {unit.state} after its restart ({unit.result}): the others were left alone"
                    raise Permanent(said)
                else:
                    well_since = None
                if self._clock.now() >= deadline:
                    raise Transient(f"the restart of {name} is not finished; it goes on where it stopped")
                await self._clock.sleep(_POLL)

    async def _settle(self, manager: Manager, states: Mapping[str, str], deadline: float) -> None:
        """Wait while systemd is at it, so that what fails is told with its reason."""
        for name, state in states.items():
            while (unit := await manager.unit(name)).state != state and self._clock.now() < deadline:
                if unit.state == FAILED and not unit.busy and state == RUNNING:
                    raise Permanent(f"{name} does not run: it failed ({unit.result})")
                if unit.state == FAILED and state == STOPPED:
                    break
                await self._clock.sleep(_POLL)

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        return members.reached(desired, _ended(observed), STOPPED)

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        back = members.given_back(_ended(before), desired, _ended(observed), STOPPED)
        return None if back is None else (members.OPPOSITE.get(verb, verb), back)

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        back = members.given_back(_ended(before), desired, _ended(observed), STOPPED)
        return () if back is None else members.one_by_one(back, observed, observed["full"])

    async def close(self) -> None:
        return None


def _manager(target: Target, config: SystemdConfig) -> Manager:
    return Manager(Path(config.bus), min(target.step_timeout, _ANSWER_WITHIN))


def _is_template(config: SystemdConfig) -> bool:
    return config.unit.endswith("@.service")


def _instance(config: SystemdConfig, number: int) -> str:
    return config.unit.replace("@.service", f"@{number}.service")


def _is_ours(config: SystemdConfig, name: str) -> bool:
    if not _is_template(config):
        return name == config.unit
    return re.fullmatch(re.escape(config.unit.removesuffix(".service")) + r"[1-9][0-9]{0,3}\.service", name) is not None


async def _units(manager: Manager, config: SystemdConfig) -> list[Unit]:
    if not _is_template(config):
        return [await manager.unit(config.unit)]
    pattern = config.unit.replace("@.service", "@*.service")
    names = [name for name in await manager.loaded(pattern) if _is_ours(config, name)]
    # Where none is in memory, the template itself may be missing: then this says so.
    names = names or [_instance(config, 1)]
    return list(await asyncio.gather(*(manager.unit(name) for name in names)))


def _standing(observed: State) -> list[str]:
    return [name for name, state in observed["members"].items() if state not in (STOPPED, FAILED)]


def _more(config: SystemdConfig, standing: list[str], goal: int) -> State:
    if not _is_template(config):
        return {"members": {config.unit: RUNNING}}
    free = (name for number in count(1) if (name := _instance(config, number)) not in standing)
    return {"members": {next(free): RUNNING for _ in range(goal - len(standing))}}


async def _bring(manager: Manager, name: str, state: str) -> None:
    now = (await manager.unit(name)).state
    if state == RUNNING and now != RUNNING:
        await manager.start(name)
    elif state == STOPPED and now not in (STOPPED, FAILED):
        await manager.stop(name)


def _ended(state: State) -> State:
    """A unit that failed does not run: where that was asked for, it is reached."""
    ended = {name: STOPPED if each == FAILED else each for name, each in state["members"].items()}
    return {**state, "members": ended}
