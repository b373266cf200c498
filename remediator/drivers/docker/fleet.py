"""Containers that belong together: how they stand, and how a change of some is brought about."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import Field

from catalog.model import Frozen
from remediator.clock import Clock
from remediator.drivers.base import State
from remediator.drivers.docker.engine import Engine, Info
from remediator.drivers.members import ALIVE, PAUSED, RUNNING, STARTING, STOPPED, UNHEALTHY, same
from remediator.errors import Permanent, Transient

_POLL = 0.1
_PERIOD = 100_000
"""Microseconds over which the kernel counts a quota."""

ABSENT = "absent"


class Cpu(Frozen):
    """How far processor time may be throttled, in processors."""

    full: float = Field(default=1.0, ge=0.01, le=1024)
    """What a container without a limit counts as."""
    min: float = Field(default=0.1, ge=0.01, le=1024)
    """Never below this."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container as the engine has it now."""

    id: str
    name: str
    state: str
    """running (and healthy, where it says), starting, unhealthy, paused, restarting, removing or stopped."""
    started: float
    """Epoch seconds."""
    cpus: float | None
    """Its limit in processors; None is without limit."""
    counts_in_nanos: bool
    """The engine accepts a limit only in the measure that it was first given in."""
    labels: Mapping[str, str]
    info: Info

    @property
    def alive(self) -> bool:
        return self.state in ALIVE


async def look(engine: Engine, labels: Mapping[str, str]) -> list[Container]:
    """The containers with these labels, by name. Raises Permanent for answers that make no sense."""
    try:
        found = [_container(info) for info in await engine.labelled(labels)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Permanent(f"the engine describes a container in an unknown way ({type(error).__name__})") from error
    return sorted((each for each in found if each.state != "removing"), key=lambda each: each.name)


def as_state(containers: Iterable[Container]) -> dict[str, Any]:
    every = list(containers)
    return {
        "members": {each.name: each.state for each in every},
        "started": {each.name: each.started for each in every if each.alive},
        "limits": {each.name: each.cpus for each in every if each.alive},
    }


async def bring(engine: Engine, container: Container, state: str, kill_after: int) -> None:
    """Ask for a container that exists to become running, paused or stopped; nothing where it is so already."""
    if state == RUNNING and container.state == PAUSED:
        await engine.unpause(container.id)
    elif state == RUNNING and container.state == STOPPED:
        await engine.start(container.id)
    elif state == PAUSED and container.alive:
        await engine.pause(container.id)
    elif state == STOPPED and container.state != STOPPED:
        await engine.stop(container.id, kill_after)


async def limit(engine: Engine, container: Container, cpus: float | None) -> None:
    """Ask for this limit, in processors; None takes it away. Nothing where it is so already."""
    if same(container.cpus, cpus):
        return
    if container.counts_in_nanos:
        if cpus is None:
            raise Permanent(f"the engine cannot take the limit of {container.name} away")
        await engine.update(container.id, {"NanoCpus": round(cpus * 1e9)})
    else:
        # A quota can be taken away again, which the other measure cannot.
        await engine.update(
            container.id, {"CpuPeriod": _PERIOD, "CpuQuota": -1 if cpus is None else round(cpus * _PERIOD)}
        )


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a restart may take its time."""

    kill_after: int
    """Seconds that a container may take to end."""
    well_after: float
    """Seconds that it must be well before the next one's turn."""
    deadline: float
    """Epoch seconds."""


async def renew(engine: Engine, clock: Clock, labels: Mapping[str, str], desired: State, patience: Patience) -> None:
    """Restart the named containers that are older than the plan, one at a time, each only when all others are well."""
    since, names = desired["younger_than"], list(desired["members"])
    # Since when the last one restarted here is well, None while it is not; whether one was restarted here at all.
    settling: float | None = None
    restarted = False
    while True:
        standing = {each.name: each for each in await look(engine, labels)}
        if missing := [name for name in names if name not in standing]:
            raise Permanent(f"{', '.join(missing)} went away during the restart")
        fresh = [standing[name] for name in names if standing[name].started > since]
        for each in fresh:
            if each.state not in (RUNNING, STARTING):
                raise Permanent(f"{each.name} is {each.state} after its restart: the others were left alone")
        if any(each.state == STARTING for each in fresh):
            settling = None
        elif settling is None:
            settling = clock.now()
        if settling is not None and not (restarted and clock.now() - settling < patience.well_after):
            old = [standing[name] for name in names if standing[name] not in fresh]
            if not old:
                return
            await engine.restart(old[0].id, patience.kill_after)
            settling, restarted = None, True
            continue
        if clock.now() >= patience.deadline:
            raise Transient("the restart is not finished; it goes on where it stopped")
        await clock.sleep(_POLL)


async def all_of(work: Iterable[Any]) -> None:
    """Do it side by side; everything is tried, then the first failure is raised."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _container(info: Info) -> Container:
    state, host = info["State"], info["HostConfig"]
    nanos, quota, period = (int(host.get(key) or 0) for key in ("NanoCpus", "CpuQuota", "CpuPeriod"))
    limit = nanos / 1e9 if nanos else quota / (period or _PERIOD) if quota > 0 else None
    return Container(
        id=_text(info["Id"]),
        name=_text(info["Name"]).removeprefix("/"),
        state=_state(state),
        started=_moment(state["StartedAt"]),
        cpus=limit,
        counts_in_nanos=nanos > 0,
        labels=dict(info["Config"]["Labels"] or {}),
        info=info,
    )


def _state(state: Mapping[str, Any]) -> str:
    status = _text(state["Status"])
    if status != RUNNING:
        return status if status in (PAUSED, "restarting", "removing") else STOPPED
    health = (state.get("Health") or {}).get("Status") or "none"
    return RUNNING if health in ("none", "healthy") else UNHEALTHY if health == "unhealthy" else STARTING


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a text is expected")
    return value


def _moment(text: str) -> float:
    """Epoch seconds of `2026-01-31T12:00:00.123456789Z`; the year 1 stands for never."""
    moment = datetime.fromisoformat(text)
    return max(moment.timestamp(), 0.0) if moment.year > 1 else 0.0
