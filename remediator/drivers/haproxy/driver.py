"""`shift`: take weight off the hot server of a backend, never off the last one that serves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field, StringConstraints

from catalog.inventory import Target
from catalog.model import Frozen, Verb
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.haproxy.runtime import Runtime
from remediator.drivers.permission import Permission
from remediator.drivers.scaling import stages
from remediator.errors import Permanent, Refused

# HAProxy's own alphabet for names: nothing in it can end a command or begin another.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]+$")]


class HAProxyConfig(Frozen):
    socket: Path
    """The runtime API's unix socket, with `level admin`."""
    backend: Name
    servers: Mapping[Name, str] = Field(min_length=1)
    """Server name in the backend → resource that its metrics carry."""
    hot_by: str | None = None
    """The metric by which the hottest server is found where the incident's resource is none of `servers`."""
    min_weight: int = Field(default=1, ge=1, le=256)
    """Never below this."""


class HAProxyDriver:
    kind: ClassVar[str] = "haproxy"
    verbs: ClassVar[frozenset[Verb]] = frozenset({Verb.SHIFT})
    Config: ClassVar[type[BaseModel]] = HAProxyConfig

    def __init__(self, world: World) -> None:
        self._world = world

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        config = HAProxyConfig.model_validate(target.config)
        servers = await self._runtime(target, config).servers(config.backend)
        missing = sorted(set(config.servers) - set(servers))
        if missing:
            raise Permanent(f"backend {config.backend!r} has no server {', '.join(missing)}: correct the inventory")
        return {
            "weights": {name: server.weight for name, server in sorted(servers.items())},
            "status": {name: server.status for name, server in sorted(servers.items())},
        }

    async def may(self, target: Target, verb: Verb, context: StepContext) -> Permission:
        config = HAProxyConfig.model_validate(target.config)
        level = await self._runtime(target, config).level()
        if level == "admin":
            return Permission(True)
        return Permission(False, f"the socket {config.socket} allows {level or 'nothing'}: give it `level admin`")

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        config = HAProxyConfig.model_validate(target.config)
        factor = args.get("factor", 0.2)
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < 1:
            raise Refused(f"shift needs a factor between 0 and 1, not {factor!r}", reason="bad_args")
        hot = _hot(config, context)
        weights, status = observed["weights"], observed["status"]
        others = [name for name in weights if name != hot and status[name] == "UP" and weights[name] > 0]
        if not others:
            raise Refused(
                f"no other server of {config.backend!r} is up with weight: {hot} is the last one", reason="last_one"
            )
        weight = max(config.min_weight, math.floor(weights[hot] * factor))
        if weight >= weights[hot]:
            raise Refused(f"{hot} already has the least weight, {weights[hot]}", reason="at_limit")
        return {"weights": {hot: weight}}

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        config = HAProxyConfig.model_validate(target.config)
        runtime = self._runtime(target, config)
        servers = await runtime.servers(config.backend)
        for name, weight in desired["weights"].items():
            if name not in config.servers or name not in servers:
                raise Permanent(f"{name!r} is not a server of {config.backend!r} in the inventory")
            if servers[name].weight == weight:
                continue
            lowered = weight < servers[name].weight
            if lowered and not any(server.serves for other, server in servers.items() if other != name):
                raise Refused(f"{name} is now the last server of {config.backend!r} that serves", reason="last_one")
            await runtime.set_weight(config.backend, name, weight)

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        return all(observed["weights"].get(name) == weight for name, weight in desired["weights"].items())

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        weights = {
            name: before["weights"][name]
            for name, weight in desired["weights"].items()
            # Whoever set another weight since then meant it.
            if observed["weights"].get(name) == weight and before["weights"].get(name, weight) != weight
        }
        return (Verb.SHIFT, {"weights": weights}) if weights else None

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        back = self.give_back(verb, before, desired, observed)
        if back is None:
            return ()
        goal: Mapping[str, int] = back[1]["weights"]
        ways = {name: stages(observed["weights"][name], weight) for name, weight in goal.items()}
        longest = max(len(way) for way in ways.values())
        return tuple(
            {"weights": {name: way[min(stage, len(way) - 1)] for name, way in ways.items()}} for stage in range(longest)
        )

    async def close(self) -> None:
        return None

    def _runtime(self, target: Target, config: HAProxyConfig) -> Runtime:
        return Runtime(config.socket, min(target.step_timeout, 10.0))


def _hot(config: HAProxyConfig, context: StepContext) -> str:
    by_resource = {resource: name for name, resource in config.servers.items()}
    if context.resource in by_resource:
        return by_resource[context.resource]
    known = {
        resource: heat for resource, heat in context.heat.items() if resource in by_resource and math.isfinite(heat)
    }
    if not known:
        raise Refused(
            f"cannot tell which server is hot: {context.resource or 'the incident'} is none of the backend's resources"
            " and there is no reading of any of them",
            reason="unknown_resource",
        )
    # Ties go to the first by name, so that the same facts give the same plan.
    return by_resource[min(known, key=lambda resource: (-known[resource], resource))]
