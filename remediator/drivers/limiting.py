"""How low a limit should be, from what a playbook asks. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from remediator.errors import Refused


def lowered(name: str, now: float, args: Mapping[str, Any], least: float) -> float:
    """The limit of `name` below `now`: `{factor: x}` multiplies (0 < x < 1), `{to: n}` says it outright.

    Never below `least`; whole numbers stay whole, rounded down. Raises Refused where that is not lower than now
    (`at_limit`) and for arguments that make no sense (`bad_args`).
    """
    asked = _asked(args, now)
    value: float = max(least, asked)
    if isinstance(now, int):
        value = max(math.ceil(least), math.floor(asked))
    if value >= now:
        raise Refused(f"the limit of {name} is {now:g} and may not be below {least:g}", reason="at_limit")
    return value


def _asked(args: Mapping[str, Any], now: float) -> float:
    factor, to = args.get("factor"), args.get("to")
    if isinstance(factor, int | float) and not isinstance(factor, bool) and to is None and 0 < factor < 1:
        return now * factor
    if isinstance(to, int | float) and not isinstance(to, bool) and factor is None and to >= 0:
        return to
    raise Refused("throttle needs a factor between 0 and 1, or `to`, a limit", reason="bad_args")
