"""What Grace may do to a target, asked without doing any of it: for people, before the night in which it matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from catalog.inventory import Target
from catalog.model import Verb
from remediator.drivers.base import Driver, StepContext
from remediator.errors import Refused


@dataclass(frozen=True, slots=True)
class Permission:
    """`allowed` is None where only trying would tell."""

    allowed: bool | None
    why: str = ""


@runtime_checkable
class Asking(Protocol):
    """A driver that can tell by itself."""

    async def may(self, target: Target, verb: Verb, context: StepContext) -> Permission:
        """Would this verb be allowed on the target? Changes nothing. Raises as `observe` does."""
        ...


WHO_LOOKS_MAY_DO: Mapping[str, str] = {
    "celery": "who may ask the workers may tell them",
    "compose": "the engine's socket knows no rights of its own",
    "docker": "the engine's socket knows no rights of its own",
    "process": "the arbiter's endpoint knows no rights of its own",
}
"""Drivers whose observation needs all that their verbs need, and why."""


async def permission(driver: Driver, target: Target, verb: Verb, context: StepContext) -> Permission | None:
    """May Grace do this verb to the target? None where the inventory does not set it up. Raises as `observe` does."""
    try:
        await driver.observe(target, verb, context)
        if driver.kind in WHO_LOOKS_MAY_DO:
            return Permission(True, WHO_LOOKS_MAY_DO[driver.kind])
        if isinstance(driver, Asking):
            return await driver.may(target, verb, context)
    except Refused as refused:
        return Permission(False, str(refused)) if refused.reason == "permission" else None
    return Permission(None, "it shows when it is tried")
