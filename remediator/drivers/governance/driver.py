"""`govern`: tighten a setting of governance. Nothing here can loosen one: only people do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel

from catalog.inventory import Target
from catalog.model import Frozen, Tier, Verb
from remediator.drivers.base import State, StepContext, World
from remediator.errors import Permanent, Refused

_STRICTEST = 3


class GovernanceConfig(Frozen):
    """Nothing to configure: what may change stands in the playbook."""


class GovernanceDriver:
    kind: ClassVar[str] = "governance"
    verbs: ClassVar[frozenset[Verb]] = frozenset({Verb.GOVERN})
    Config: ClassVar[type[BaseModel]] = GovernanceConfig

    def __init__(self, world: World) -> None:
        self._world = world

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        if self._world.governance is None:
            raise Permanent("this Grace has no governance to observe")
        return dict(await self._world.governance())

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        change = args.get("change")
        if change == "strictness":
            return _stricter(args, observed)
        if change == "ceiling":
            return _lower(args, observed)
        if change in ("supervised", "frozen"):
            return _switched_on(change, args, observed)
        raise Refused(f"govern changes strictness, ceiling, supervised or frozen, not {change!r}", reason="bad_args")

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        if self._world.govern is None:
            raise Permanent("this Grace has no governance to change")
        observed = await self.observe(target, verb, context)
        for change, value in desired.items():
            # People may have gone further in the meantime; that stands.
            if not _holds(change, value, observed):
                await self._world.govern(change, {change: value}, context.run_id)

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        return all(_holds(change, value, observed) for change, value in desired.items())

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        return None

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        return ()

    async def close(self) -> None:
        return None


def _stricter(args: Mapping[str, Any], observed: State) -> State:
    now = _strictness(observed)
    goal = min(now + _whole(args, 1, 1, _STRICTEST), _STRICTEST)
    if goal <= now:
        raise Refused(f"strictness is {now} already, the highest", reason="at_limit")
    return {"strictness": goal}


def _lower(args: Mapping[str, Any], observed: State) -> State:
    now = Tier.parse(observed["ceiling"])
    goal = Tier(max(now + _whole(args, -1, -3, -1), Tier.TIER_1))
    if goal >= now:
        raise Refused(f"the ceiling is {now} already, the lowest", reason="at_limit")
    return {"ceiling": str(goal)}


def _switched_on(change: str, args: Mapping[str, Any], observed: State) -> State:
    if args.get("to", 1) not in (1, True):
        raise Refused(f"{change} can only be set; a person releases it", reason="loosens")
    if observed[change]:
        raise Refused(f"{change} is set already", reason="at_limit")
    return {change: True}


def _whole(args: Mapping[str, Any], default: int, least: int, most: int) -> int:
    by = args.get("by", default)
    if isinstance(by, bool) or not isinstance(by, int) or not least <= by <= most:
        raise Refused(f"govern by {by!r} would not tighten: {least} to {most} is possible", reason="loosens")
    return by


def _strictness(observed: State) -> int:
    value = observed.get("strictness")
    if isinstance(value, bool) or not isinstance(value, int):
        raise Permanent(f"governance says its strictness is {value!r}")
    return value


def _holds(change: str, value: Any, observed: State) -> bool:
    """Is the setting at least as tight as asked for?"""
    if change == "strictness":
        return _strictness(observed) >= int(value)
    if change == "ceiling":
        return Tier.parse(observed["ceiling"]) <= Tier.parse(value)
    return bool(observed.get(change) == value)
