"""The PromQL idioms that every rule is made of: durations, fresh readings, exact increases.

Each function returns PromQL text. Spans are in seconds.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

_SELECTOR = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\})?$", re.DOTALL)
LOOK = 3.5
"""How many scrapes back a counter is read: three may be lost. No scrape lies on the end of such a range."""
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


def duration(seconds: float) -> str:
    """`4m45s` for 285.0, to the millisecond. Raises ValueError for anything shorter than a millisecond."""
    left = round(seconds * 1000)
    if left <= 0:
        raise ValueError(f"{seconds} s is no duration that Prometheus can use")
    text = ""
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text


@lru_cache(maxsize=4096)
def number(value: Decimal | float) -> str:
    """The shortest plain decimal of a value: `0.35`, `200`, never an exponent."""
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    text = format(exact.normalize(), "f")
    return "0" if text == "-0" else text


def split(series: str) -> tuple[str, str]:
    """The name and the matchers (without braces, `""` where there are none) of a series as the catalog writes it.

    Raises ValueError when it is neither `name` nor `name{matchers}`.
    """
    found = _SELECTOR.match(series.strip())
    if not found:
        raise ValueError(f"{series!r} is not a series; write name or name{{label=value}}")
    return found[1], (found[2] or "").strip().rstrip(",")


def selector(series: str, *, suffix: str = "") -> str:
    """The series as a selector, its name lengthened by `suffix` (`_bucket`, `_count`)."""
    name, matchers = split(series)
    return f"{name}{suffix}" + (f"{{{matchers}}}" if matchers else "")


def finite(expression: str) -> str:
    """What is left without NaN and the infinities. Needed before any band: NaN >= bool 0.7 is 0, and would be good."""
    return f"{expression} > -Inf < +Inf"


def rounded(expression: str) -> str:
    """The expression to a millionth of a base unit: derived values land beside an exact edge otherwise."""
    return finite(f"round({expression}, 0.000001)")


def indent(text: str, by: int = 2) -> str:
    return "\n".join(" " * by + line if line else line for line in text.split("\n"))


def fresh(series: str, scrape: float, *, offset: float = 0.0) -> str:
    """The series where it was scraped lately: after a restart there are no stale markers, and a bare selector lies.

    With `offset`, what was the fresh reading that long ago.
    """
    read = f"{series} offset {duration(offset)}" if offset else series
    return f"({read} and timestamp({read}) > time() - {number(round(2 * scrape + offset, 3))})"


def increase(counter: str, span: float, scrape: float, returned: str) -> str:
    """How many events a counter saw in the last `span` seconds, by resource: exact, where increase() guesses.

    A restart inside the span counts what came after it. A series that was born inside the span counts from 0 when its
    target was being scraped before; not when the source is one of `returned`, for then it is unknown what came when.
    """
    look, resets = duration(LOOK * scrape), duration(span + 1.05 * scrape)
    now, before = f"last_over_time({counter}[{look}])", f"last_over_time({counter}[{look}] offset {duration(span)})"
    return (
        "sum by (resource) (\n"
        f"  ({now} - {before} >= 0 and resets({counter}[{resets}]) == 0)\n"
        "  or\n"
        f"  ({now} and resets({counter}[{resets}]) > 0)\n"
        "  or\n"
        f"  ({now} and on (job, instance) last_over_time(up[{look}] offset {duration(span)}) == 1\n"
        f"    unless on (resource) {returned})\n"
        ")"
    )
