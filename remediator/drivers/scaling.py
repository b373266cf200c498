"""How many there should be, from what a playbook asks. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from remediator.errors import Refused


def wanted(total: int, args: Mapping[str, Any]) -> int:
    """How many there should be: `{by: n}` adds n (1-1000), `{factor: x}` multiplies (above 1, to 100) and rounds up."""
    by, factor = args.get("by"), args.get("factor")
    if isinstance(by, int) and not isinstance(by, bool) and factor is None and 1 <= by <= 1000:
        return total + by
    if isinstance(factor, int | float) and not isinstance(factor, bool) and by is None and 1 < factor <= 100:
        # An empty pool times anything is empty, yet more was asked for.
        return max(math.ceil(round(total * factor, 9)), total + 1)
    raise Refused("scale needs either `by`, a whole number of at least 1, or `factor`, above 1", reason="bad_args")


def stages(now: float, goal: float, count: int = 3) -> tuple[float, ...]:
    """The way from `now` to `goal` in `count` even stages, the last one exactly `goal`; whole numbers stay whole."""
    whole = isinstance(now, int) and isinstance(goal, int)
    way = [now + (goal - now) * stage / count for stage in range(1, count)]
    found: list[float] = []
    for value in [*((round(value) for value in way) if whole else way), goal]:
        if value not in found and value != now:
            found.append(value)
    return tuple(found)
