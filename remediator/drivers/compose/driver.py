"""`scale`, `restart`, `start`, `stop`, `pause`, `resume` and `throttle` of one service of a Compose project.

How many containers there are is asked of the compose program, by count. Everything else is done to the containers
themselves, which the engine knows by the labels that compose gives them; all is read back from the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from catalog.inventory import Target
from catalog.model import Frozen, Seconds, Verb
from remediator.drivers import members
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.compose.program import Compose
from remediator.drivers.docker import fleet
from remediator.drivers.docker.driver import EngineUrl
from remediator.drivers.docker.engine import Engine
from remediator.drivers.docker.fleet import Cpu
from remediator.drivers.members import STOPPED
from remediator.drivers.scaling import grown
from remediator.errors import Permanent, Refused

_ANSWER_WITHIN = 10.0
_COUNTED = frozenset({Verb.SCALE, Verb.START, Verb.STOP})


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be absolute")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class ComposeConfig(Frozen):
    project: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]
    """The project's name, as `docker compose ls` shows it."""
    files: tuple[AbsolutePath, ...] = Field(min_length=1)
    """Its compose files."""
    service: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]
    url: EngineUrl = "unix:///var/run/docker.sock"
    """The engine's API."""
    binary: AbsolutePath | None = None
    """`docker-compose`, or `docker` with its compose plugin; looked for on PATH where absent."""
    kill_after: int = Field(default=10, ge=1, le=600)
    """Seconds that a container may take to end before it is killed."""
    well_after: Annotated[Seconds, Field(le=300)] = 1.0
    """How long a restarted container must be well before the next one is restarted."""
    cpu: Cpu = Cpu()

    @property
    def labels(self) -> Mapping[str, str]:
        """What compose marks the service's containers with."""
        return {
            "com.docker.compose.project": self.project,
            "com.docker.compose.service": self.service,
            "com.docker.compose.oneoff": "False",
        }

    @property
    def compose(self) -> Compose:
        return Compose(self.binary, self.url, self.project, self.files, self.service)


class ComposeDriver:
    kind: ClassVar[str] = "compose"
    verbs: ClassVar[frozenset[Verb]] = frozenset(
        {Verb.SCALE, Verb.RESTART, Verb.START, Verb.STOP, Verb.PAUSE, Verb.RESUME, Verb.THROTTLE}
    )
    Config: ClassVar[type[BaseModel]] = ComposeConfig

    def __init__(self, world: World) -> None:
        self._clock = world.clock

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        config = ComposeConfig.model_validate(target.config)
        async with _engine(target, config) as engine:
            containers = await fleet.look(engine, config.labels)
        if verb in _COUNTED:
            config.compose.program()  # told now, not when it is needed
        if not containers and not await config.compose.knows_service(min(target.step_timeout, _ANSWER_WITHIN)):
            raise Permanent(f"the project {config.project} has no service {config.service}")
        return {
            **fleet.as_state(containers),
            # Also one that is paused or crashes again and again takes a place.
            "count": sum(each.state != STOPPED for each in containers),
            "well": sum(each.state == members.RUNNING for each in containers),
            "full": config.cpu.full,
        }

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        config = ComposeConfig.model_validate(target.config)
        if verb is Verb.SCALE:
            return {"count": grown(target.name, observed["count"], target.limits, args)}
        if verb is Verb.THROTTLE:
            return members.throttled(target.name, observed, args, config.cpu.full, config.cpu.min)
        if args:
            raise Refused(f"{verb} takes no arguments", reason="bad_args")
        if verb is Verb.RESTART:
            return members.renewed(target.name, observed, context.started_at)
        if verb in (Verb.PAUSE, Verb.RESUME):
            return members.switched(target.name, verb, observed)
        goal = target.limits.max if verb is Verb.START else 0
        if goal == observed["count"] or (verb is Verb.START and goal < observed["count"]):
            raise Refused(
                f"{target.name} has {observed['count']} containers of {target.limits.max} allowed", reason="at_limit"
            )
        return {"count": goal}

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        config = ComposeConfig.model_validate(target.config)
        if "count" in desired:
            await self._count(target, config, verb, desired, context)
            return
        async with _engine(target, config) as engine:
            if "younger_than" in desired:
                deadline = self._clock.now() + target.step_timeout
                patience = fleet.Patience(config.kill_after, config.well_after, deadline)
                await fleet.renew(engine, self._clock, config.labels, desired, patience)
                return
            standing = {each.name: each for each in await fleet.look(engine, config.labels)}
            named = {*desired.get("members", {}), *desired.get("limits", {})}
            if gone := sorted(named - set(standing)):
                raise Permanent(f"{', '.join(gone)} went away since the plan")
            await fleet.all_of(
                fleet.limit(engine, standing[name], cpus) for name, cpus in desired.get("limits", {}).items()
            )
            await fleet.all_of(
                fleet.bring(engine, standing[name], state, config.kill_after)
                for name, state in desired.get("members", {}).items()
            )

    async def _count(
        self, target: Target, config: ComposeConfig, verb: Verb, desired: State, context: StepContext
    ) -> None:
        count = desired["count"]
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= 1000:
            raise Permanent(f"{str(count)[:50]!r} is no count")
        if not self.reached(verb, desired, await self.observe(target, verb, context)):
            await config.compose.scale(count, config.kill_after, target.step_timeout)

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        if "count" in desired:
            return bool(observed["count"] == observed["well"] == desired["count"])
        return members.reached(desired, observed, STOPPED)

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        if "count" not in desired:
            back = members.given_back(before, desired, observed, STOPPED)
            return None if back is None else (members.OPPOSITE.get(verb, verb), back)
        was, asked, now = before["count"], desired["count"], observed["count"]
        if asked > was and now > was:
            # What others added since then stays.
            return members.OPPOSITE.get(verb, verb), {"count": max(was, now - (asked - was))}
        if asked < was and now == asked:
            return members.OPPOSITE.get(verb, verb), {"count": was}
        return None

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        back = self.give_back(verb, before, desired, observed)
        if back is None:
            return ()
        if "count" not in back[1]:
            return members.one_by_one(back[1], observed, observed["full"])
        goal, now = back[1]["count"], observed["count"]
        way = range(now - 1, goal - 1, -1) if goal < now else range(now + 1, goal + 1)
        return tuple({"count": count} for count in way)

    async def close(self) -> None:
        return None


def _engine(target: Target, config: ComposeConfig) -> Engine:
    return Engine(config.url, min(target.step_timeout, _ANSWER_WITHIN))
