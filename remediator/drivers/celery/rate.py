"""Celery's way of writing a rate: `30/m`, `0.5/s`, `100/h`; a bare number is per second. Pure."""

from __future__ import annotations

import math

from remediator.errors import Permanent

UNLIMITED = "0"
"""What is written to lift a limit."""

_PER_MINUTE = {"": 60.0, "s": 60.0, "m": 1.0, "h": 1 / 60}


def per_minute(text: str) -> float:
    """Tasks a minute; infinity where there is no limit. Raises Permanent for what is no rate."""
    number, _, unit = text.partition("/")
    try:
        rate = float(number) * _PER_MINUTE[unit]
    except (ValueError, KeyError) as error:
        raise Permanent(f"a worker tells the rate {text!r}, which is none") from error
    if not math.isfinite(rate) or rate < 0:
        raise Permanent(f"a worker tells the rate {text!r}, which is none")
    return rate or math.inf


def written(rate: float) -> str:
    """The rate as Celery takes it, per minute."""
    return f"{rate:.6g}/m" if math.isfinite(rate) else UNLIMITED


def same(one: str, other: str) -> bool:
    return math.isclose(per_minute(one), per_minute(other), rel_tol=1e-4)
