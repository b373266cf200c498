"""How many there should be, from what a playbook asks. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from catalog.inventory import Limits
from remediator.errors import Refused


def wanted(total: int, args: Mapping[str, Any]) -> int:
    """How many there should be: `{by: n}` adds n, `{factor: x}` multiplies and rounds up, `{to: n}` says it outright.

    `by` and `to` are whole numbers of 1 to 1000, `factor` is above 1 and at most 100. Raises Refused for anything else.
    """
    if len(args) == 1:
        ((name, value),) = args.items()
        whole = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1000
        if name == "by" and whole:
            return total + int(value)
        if name == "to" and whole:
            return int(value)
        if name == "factor" and isinstance(value, int | float) and not isinstance(value, bool) and 1 < value <= 100:
            # An empty pool times anything is empty, yet more was asked for.
            return max(math.ceil(round(total * value, 9)), total + 1)
    raise Refused("scale needs one of `by`, `to` (whole numbers from 1) or `factor` (above 1)", reason="bad_args")


def grown(name: str, now: int, limits: Limits, args: Mapping[str, Any]) -> int:
    """How many `name` should have, more than `now` and within its limits. Raises Refused where it may not have more."""
    goal = max(min(wanted(now, args), limits.max), limits.min)
    if goal <= now:
        raise Refused(f"{name} has {now} of {limits.max} allowed", reason="at_limit")
    return goal


def stages(now: float, goal: float, count: int = 3) -> tuple[float, ...]:
    """The way from `now` to `goal` in `count` even stages, the last one exactly `goal`; whole numbers stay whole.

    Empty where both are the same.
    """
    whole = isinstance(now, int) and isinstance(goal, int)
    way = [now + (goal - now) * stage / count for stage in range(1, count)]
    found: list[float] = []
    for value in [*((round(value) for value in way) if whole else way), goal]:
        if value not in found and value != now:
            found.append(value)
    return tuple(found)
