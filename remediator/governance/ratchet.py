"""Ratchets: anything may tighten, only a person loosens, with a reason.

`loosens` says what a change of settings would loosen. `reload` splits a changed policy file into what applies at once
(the stricter of both) and what is pending until an admin confirms it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from catalog.policy import Policy
from remediator.governance.facts import Settings


class Stricter(Enum):
    """Which way a number is stricter."""

    LOW = "low"
    HIGH = "high"
    ALL_OF_BOTH = "all"
    """The more of them, the stricter (maintenance windows)."""
    EITHER_IS_LOOSER = "either"
    """No direction is plainly stricter, so every change wants a person."""


_SETTINGS: Mapping[str, Stricter] = {
    "ceiling": Stricter.LOW,
    "strictness": Stricter.HIGH,
    "supervised": Stricter.HIGH,
    "frozen": Stricter.HIGH,
    "shadow": Stricter.HIGH,
}

POLICY: Mapping[str, Stricter] = {
    **_SETTINGS,
    "evidence": Stricter.HIGH,
    "confidence_floors": Stricter.HIGH,
    "cooldown_factors": Stricter.HIGH,
    "prior_successes": Stricter.LOW,
    "prior_failures": Stricter.HIGH,
    "cooldown": Stricter.HIGH,
    "attempt_cooldown": Stricter.HIGH,
    "rates.per_target_hour": Stricter.LOW,
    "rates.all_hour": Stricter.LOW,
    "blast.group_at_once": Stricter.LOW,
    "blast.group_share": Stricter.LOW,
    "blast.within": Stricter.HIGH,
    "storm.enter_groups": Stricter.LOW,
    "storm.leave_below": Stricter.LOW,
    "storm.leave_after": Stricter.HIGH,
    "strikes": Stricter.LOW,
    "repeat_heals": Stricter.LOW,
    "repeat_heals_within": Stricter.HIGH,
    "approvals": Stricter.HIGH,
    "approval_expiry": Stricter.LOW,
    "safety_ratchet": Stricter.HIGH,
    "safety_confirm_within": Stricter.LOW,
    "release_after": Stricter.EITHER_IS_LOOSER,
    "maintenance": Stricter.ALL_OF_BOTH,
}
"""Every number of the policy, by its dotted name, and which way it is stricter."""

_WORDS: Mapping[str, int] = {"trust_alert": 0, "required": 1, "wait": 0, "immediate": 1}
"""Words as numbers: higher is stricter."""


@dataclass(frozen=True, slots=True)
class Reload:
    """What becomes of a changed policy file."""

    now: Policy
    """Applies at once: of every number the stricter of old and new."""
    pending: frozenset[str]
    """Dotted names of what the file loosens; an admin confirms it by putting the file's policy in force."""


def loosens(old: Settings, new: Settings) -> frozenset[str]:
    """The settings that `new` has looser than `old`; empty where the change only tightens and so needs no admin."""
    return frozenset(
        field.name
        for field in fields(Settings)
        if _stricter(_SETTINGS[field.name], getattr(old, field.name), getattr(new, field.name))
        != getattr(new, field.name)
    )


def reload(current: Policy, file: Policy) -> Reload:
    """What of a changed file applies now, and what is pending because it loosens (nothing where it only tightens)."""
    old, new = numbers(current), numbers(file)
    strictest = {name: _stricter(POLICY[name], old[name], new[name]) for name in POLICY}
    return Reload(
        now=Policy.model_validate(_nested(strictest)),
        pending=frozenset(name for name in POLICY if strictest[name] != new[name]),
    )


def numbers(policy: Policy) -> dict[str, Any]:
    """Every field of a policy by its dotted name."""
    flat: dict[str, Any] = {}
    for name in type(policy).model_fields:
        value = getattr(policy, name)
        if name in ("rates", "blast", "storm"):
            flat |= {f"{name}.{inner}": getattr(value, inner) for inner in type(value).model_fields}
        else:
            flat[name] = value
    return flat


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        outer, _, inner = name.partition(".")
        if inner:
            tree.setdefault(outer, {})[inner] = value
        else:
            tree[outer] = value
    return tree


def _stricter(direction: Stricter, old: Any, new: Any) -> Any:
    """The stricter of two values; of tuples and mappings the stricter at every place."""
    if direction is Stricter.ALL_OF_BOTH:
        return (*new, *(each for each in old if each not in new))
    if isinstance(old, tuple):
        return tuple(_stricter(direction, before, after) for before, after in zip(old, new, strict=True))
    if isinstance(old, Mapping):
        return {key: _stricter(direction, old.get(key, 0), new.get(key, 0)) for key in {**old, **new}}
    if direction is Stricter.EITHER_IS_LOOSER:
        return old
    choose = min if direction is Stricter.LOW else max
    return choose(old, new, key=lambda value: _WORDS[value] if isinstance(value, str) else value)
