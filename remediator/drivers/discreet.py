"""Any driver, with nothing of what others said told on before the secrets in it are hidden."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

from catalog.inventory import Target
from catalog.model import Verb
from remediator.drivers.base import Driver, State, StepContext, World
from remediator.drivers.permission import Asking, Permission
from remediator.drivers.redactor import Redactor, brief
from remediator.drivers.table import DRIVERS
from remediator.errors import GraceError, Permanent

_SURE = 8
"""Characters of a secret that is not a name by accident."""


def open_driver(kind: str, world: World) -> Driver:
    """A driver of the table that tells no secret. It makes no connection yet. Raises KeyError for an unknown kind."""
    return discreet(DRIVERS[kind](world), world)


def discreet(driver: Driver, world: World) -> Driver:
    """The same driver: its errors are redacted, then shortened, and a reading that holds a secret is an error."""
    return cast(Driver, (_DiscreetAsking if isinstance(driver, Asking) else _Discreet)(driver, world))


class _Discreet:
    def __init__(self, driver: Driver, world: World) -> None:
        self._driver = driver
        self._world = world
        self.kind = driver.kind
        self.verbs = driver.verbs
        self.Config = driver.Config
        # Pure, or nothing that anybody else said.
        self.desire = driver.desire
        self.reached = driver.reached
        self.give_back = driver.give_back
        self.release_steps = driver.release_steps
        self.close = driver.close

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        with self._hiding():
            observed = await self._driver.observe(target, verb, context)
        return self._telling_nothing(target, observed)

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> State | None:
        with self._hiding():
            observed = await self._driver.do(target, verb, desired, context)
        return None if observed is None else self._telling_nothing(target, observed)

    def _telling_nothing(self, target: Target, observed: State) -> State:
        """The same state. Raises Permanent where a secret stands in it."""
        texts = tuple(_texts(observed))
        if not texts:
            return observed  # mostly: a number holds no secret, whatever they are
        redactor = _of_sure_ones(frozenset(self._world.secrets()))
        for text in texts:
            if redactor.text(text) != text:
                # It would be journaled, audited and shown, and cut out it could not be given back.
                raise Permanent(f"{target.name} reads a value that holds a secret: have it read another one")
        return observed

    @contextmanager
    def _hiding(self) -> Iterator[None]:
        try:
            yield
        except GraceError as error:
            redactor = self._world.redactor()
            error.args = (brief(redactor.text(str(error))), *error.args[1:])
            if any(redactor.text(str(cause)) != str(cause) for cause in _causes(error)):
                # A traceback tells its causes too.
                error.__cause__ = None
                error.__context__ = None
            raise


class _DiscreetAsking(_Discreet):
    async def may(self, target: Target, verb: Verb, context: StepContext) -> Permission:
        assert isinstance(self._driver, Asking)
        with self._hiding():
            found = await self._driver.may(target, verb, context)
        return replace(found, why=brief(self._world.redactor().text(found.why)))


@lru_cache(maxsize=4)
def _of_sure_ones(secrets: frozenset[str]) -> Redactor:
    """A weak password may be an ordinary word, and a name is none."""
    return Redactor(secret for secret in secrets if len(secret) >= _SURE)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _texts(state: Any) -> Iterator[str]:
    if isinstance(state, str):
        yield state
    elif isinstance(state, Mapping):
        for value in state.values():
            yield from _texts(value)
    elif isinstance(state, list | tuple):
        for each in state:
            yield from _texts(each)
