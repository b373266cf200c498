"""`throttle`, `pause` and `resume` by one row that the service obeys."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, field_validator

from catalog.inventory import Target
from catalog.model import Frozen, Verb
from remediator.database_url import database_url
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.limiting import lowered
from remediator.drivers.permission import Permission
from remediator.drivers.scaling import stages
from remediator.drivers.sql.row import Database, Value
from remediator.drivers.sql.settings import Pause, Settings, Throttle
from remediator.errors import Permanent, Refused, Transient

_PATIENCE = 5.0
_LEEWAY = 2.0
_TARGETS = 4096
"""Targets whose settings are remembered."""

T = TypeVar("T")


class SqlConfig(Frozen):
    url: str
    """SQLAlchemy URL; leave the password out where there is a `password_file`."""
    password_file: Path | None = None
    settings: Settings

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        database_url(url)
        return url


class SqlDriver:
    kind: ClassVar[str] = "sql"
    verbs: ClassVar[frozenset[Verb]] = frozenset({Verb.THROTTLE, Verb.PAUSE, Verb.RESUME})
    Config: ClassVar[type[BaseModel]] = SqlConfig

    def __init__(self, world: World) -> None:
        self._world = world
        self._read_already: dict[int, tuple[Mapping[str, Any], SqlConfig]] = {}

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        setting = self._setting(target, verb)
        database, patience = self._database(target)
        return {"value": await _in_thread(database, patience, lambda: database.read(setting.read))}

    async def may(self, target: Target, verb: Verb, context: StepContext) -> Permission:
        setting = self._setting(target, verb)
        database, patience = self._database(target)
        await _in_thread(database, patience, lambda: database.rehearse(setting.write))
        return Permission(True)

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        setting, now = self._setting(target, verb), observed["value"]
        if isinstance(setting, Throttle):
            return {"value": _throttled(target.name, setting, args, now)}
        goal = setting.running if verb is Verb.RESUME else setting.paused
        if goal == now:
            raise Refused(
                f"{target.name} is {'running' if verb is Verb.RESUME else 'paused'} already", reason="at_limit"
            )
        return {"value": goal}

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> State:
        setting, value = self._setting(target, verb), desired["value"]
        database, patience = self._database(target)
        found = await _in_thread(
            database,
            patience,
            lambda: database.bring_about(setting.read, setting.write, value, lambda now: _same(now, value)),
        )
        if not _same(found, value):
            raise Permanent(f"{target.name} was set to {value} but reads {found}: something else sets it too")
        return {"value": found}

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        return _same(observed["value"], desired["value"])

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        was, asked, now = before["value"], desired["value"], observed["value"]
        # Whoever set something else since then meant it.
        if not _same(now, asked) or _same(was, asked):
            return None
        opposite = {Verb.PAUSE: Verb.RESUME, Verb.RESUME: Verb.PAUSE}
        return opposite.get(verb, verb), {"value": was}

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        back = self.give_back(verb, before, desired, observed)
        if back is None:
            return ()
        if verb is not Verb.THROTTLE:
            return (back[1],)
        return tuple({"value": value} for value in stages(observed["value"], back[1]["value"]))

    async def close(self) -> None:
        return None

    def _database(self, target: Target) -> tuple[Database, float]:
        config = self._config(target)
        patience = min(_PATIENCE, target.step_timeout / 3)
        return Database(config.url, config.password_file, patience), patience

    def _config(self, target: Target) -> SqlConfig:
        """The target's settings; read once for as long as the inventory holds them."""
        known = self._read_already.get(id(target.config))
        if known is not None and known[0] is target.config:
            return known[1]
        if len(self._read_already) >= _TARGETS:
            self._read_already.clear()
        config = SqlConfig.model_validate(target.config)
        self._read_already[id(target.config)] = (target.config, config)
        return config

    def _setting(self, target: Target, verb: Verb) -> Throttle | Pause:
        settings = self._config(target).settings
        setting = settings.throttle if verb is Verb.THROTTLE else settings.pause
        if setting is None:
            why = f"{target.name} has no setting to {verb}: name it in the inventory"
            raise Refused(why, reason="missing_capability")
        return setting


async def _in_thread(database: Database, patience: float, work: Callable[[], T]) -> T:
    """A thread cannot be stopped: the database's own bounds end it, or the cut of its conversation.

    Each of its transactions has its own time.
    """
    longest = patience + _LEEWAY
    waited_for = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        while (left := database.begun + longest - time.monotonic()) > 0:
            if (await asyncio.wait((waited_for,), timeout=left))[0]:
                return waited_for.result()
        raise Transient(f"the database did not answer in {longest:g} s")
    finally:
        database.cut()
        if not waited_for.cancel() and not waited_for.cancelled():
            waited_for.exception()  # what went wrong is told here or nowhere: a log would tell it with its secrets


def _throttled(name: str, setting: Throttle, args: Mapping[str, Any], now: Value) -> Value:
    if isinstance(now, str) or not math.isfinite(now):
        raise Permanent(f"the limit of {name} reads {now!r}, which is no number")
    return lowered(name, now, args, setting.min)


def _same(one: Value, other: Value) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return str(one) == str(other)
    return math.isclose(one, other, rel_tol=1e-6)
