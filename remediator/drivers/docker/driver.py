"""`scale`, `restart`, `start`, `stop`, `pause`, `resume` and `throttle` of containers that carry our label."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field, StringConstraints

from catalog.inventory import TARGET_PATTERN, Target
from catalog.model import Frozen, Seconds, Verb
from remediator.drivers import members
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.docker import fleet
from remediator.drivers.docker.clone import MARK, Recipe, fixed_ports
from remediator.drivers.docker.engine import Engine
from remediator.drivers.docker.fleet import Container, Cpu
from remediator.drivers.scaling import grown
from remediator.errors import Permanent, Refused

LABEL = "grace.target"
"""Containers that carry it, with the inventory's value, are the only ones that are ever touched."""
_ANSWER_WITHIN = 10.0

EngineUrl = Annotated[str, StringConstraints(pattern=r"^(unix:///\S+|tcp://[^\s/@]+|https?://[^\s/@]+)$")]


class DockerConfig(Frozen):
    label: Annotated[str, StringConstraints(pattern=TARGET_PATTERN, max_length=60)]
    """The containers are those whose label `grace.target` has this value."""
    url: EngineUrl = "unix:///var/run/docker.sock"
    """The engine's API."""
    kill_after: int = Field(default=10, ge=1, le=600)
    """Seconds that a container may take to end before it is killed."""
    well_after: Annotated[Seconds, Field(le=300)] = 1.0
    """How long a restarted container must be well before the next one is restarted."""
    cpu: Cpu = Cpu()


class DockerDriver:
    kind: ClassVar[str] = "docker"
    verbs: ClassVar[frozenset[Verb]] = frozenset(
        {Verb.SCALE, Verb.RESTART, Verb.START, Verb.STOP, Verb.PAUSE, Verb.RESUME, Verb.THROTTLE}
    )
    Config: ClassVar[type[BaseModel]] = DockerConfig

    def __init__(self, world: World) -> None:
        self._clock = world.clock

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        config = DockerConfig.model_validate(target.config)
        async with _engine(target, config) as engine:
            containers = await fleet.look(engine, {LABEL: config.label})
        if not containers:
            raise Permanent(f"no container carries the label {LABEL}={config.label}")
        return {
            **fleet.as_state(containers),
            "clones": [each.name for each in containers if MARK in each.labels],
            "full": config.cpu.full,
            "fixed_ports": sorted({port for each in containers for port in fixed_ports(each.info)}),
        }

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        config = DockerConfig.model_validate(target.config)
        if verb is Verb.SCALE:
            return _grown(target, config, args, observed)
        if verb is Verb.THROTTLE:
            return members.throttled(target.name, observed, args, config.cpu.full, config.cpu.min)
        if args:
            raise Refused(f"{verb} takes no arguments", reason="bad_args")
        if verb is Verb.RESTART:
            return members.renewed(target.name, observed, context.started_at)
        if verb is Verb.START:
            return _started(target, observed)
        return members.switched(target.name, verb, observed)

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        config = DockerConfig.model_validate(target.config)
        ours = {LABEL: config.label}
        async with _engine(target, config) as engine:
            if verb is Verb.RESTART:
                deadline = self._clock.now() + target.step_timeout
                patience = fleet.Patience(config.kill_after, config.well_after, deadline)
                await fleet.renew(engine, self._clock, ours, desired, patience)
                return
            containers = {each.name: each for each in await fleet.look(engine, ours)}
            await _check_ours(engine, config, set(desired.get("limits", {})) - set(containers))
            await fleet.all_of(
                fleet.limit(engine, containers[name], cpus) for name, cpus in desired.get("limits", {}).items()
            )
            await fleet.all_of(
                _change(engine, config, containers, name, state) for name, state in desired.get("members", {}).items()
            )

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        return members.reached(desired, observed, fleet.ABSENT)

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        back = members.given_back(before, desired, observed, fleet.ABSENT)
        return None if back is None else (members.OPPOSITE.get(verb, verb), back)

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        back = members.given_back(before, desired, observed, fleet.ABSENT)
        return () if back is None else members.one_by_one(back, observed, observed["full"])

    async def close(self) -> None:
        return None


def _engine(target: Target, config: DockerConfig) -> Engine:
    return Engine(config.url, min(target.step_timeout, _ANSWER_WITHIN))


def _grown(target: Target, config: DockerConfig, args: Mapping[str, Any], observed: State) -> State:
    # Also one that is paused or crashes again and again takes a place.
    standing = [name for name, state in observed["members"].items() if state != members.STOPPED]
    goal = grown(target.name, len(standing), target.limits, args)
    if observed["fixed_ports"]:
        raise Refused(
            f"{target.name} publishes {', '.join(observed['fixed_ports'])} at a fixed port of the machine, which no"
            " clone can have too: leave the port to the engine",
            reason="missing_capability",
        )
    if not set(members.alive(observed)) - set(observed["clones"]):
        raise Refused(f"{target.name} has no running container to make a clone of", reason="nothing_to_do")
    free = (name for number in count(1) if (name := f"{config.label}-grace-{number}") not in standing)
    return {"members": {next(free): members.RUNNING for _ in range(goal - len(standing))}}


def _started(target: Target, observed: State) -> State:
    """As many of the stopped ones as the limit allows; clones are made by `scale` alone."""
    living = members.alive(observed)
    room = target.limits.max - len(living)
    stopped = [
        name
        for name, state in observed["members"].items()
        if state == members.STOPPED and name not in observed["clones"]
    ]
    if room <= 0 or not stopped:
        raise Refused(f"{target.name} has {len(living)} running and {len(stopped)} to start", reason="at_limit")
    return {"members": dict.fromkeys(stopped[:room], members.RUNNING)}


async def _change(
    engine: Engine, config: DockerConfig, containers: Mapping[str, Container], name: str, state: str
) -> None:
    standing = containers.get(name)
    if state == fleet.ABSENT:
        if standing is not None:
            await _remove(engine, config, standing)
    elif standing is None:
        await _check_ours(engine, config, {name})
        await _clone(engine, config, containers, name, state)
    elif MARK in standing.labels and not standing.started:
        # This process died between making it and starting it: it may lack a network.
        await engine.remove(standing.id)
        await _clone(engine, config, containers, name, state)
    else:
        await fleet.bring(engine, standing, state, config.kill_after)


async def _remove(engine: Engine, config: DockerConfig, clone: Container) -> None:
    if MARK not in clone.labels:
        raise Refused(f"{clone.name} is no clone of ours: it is not removed", reason="not_ours")
    await engine.stop(clone.id, config.kill_after)
    await engine.remove(clone.id)


async def _clone(
    engine: Engine, config: DockerConfig, containers: Mapping[str, Container], name: str, state: str
) -> None:
    seeds = [each for each in containers.values() if MARK not in each.labels and each.alive]
    if state != members.RUNNING or not name.startswith(f"{config.label}-grace-") or not seeds:
        raise Permanent(f"{name} is gone, and there is nothing to make it of")
    await Recipe.of(seeds[0].info).make(engine, name)


async def _check_ours(engine: Engine, config: DockerConfig, names: set[str]) -> None:
    """None of these carries our label: is there another's of that name?"""
    for name in sorted(names):
        if await engine.inspect(name) is not None:
            raise Refused(f"{name} does not carry the label {LABEL}={config.label}: it is not ours", reason="not_ours")
