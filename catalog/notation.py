"""How people write bands, responses and durations, as plain data for the models. Raises ValueError, in words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?"
_BEYOND = re.compile(rf"^(<=|>=|<|>)\s*({_NUMBER})$")
_BETWEEN = re.compile(rf"^({_NUMBER})\s*\.\.\s*({_NUMBER})$")

_DURATION = re.compile(
    r"^(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?$", re.ASCII
)
DURATION_PATTERN = r"^(?=.)(?:\d+(?:\.\d+)?d)?(?:\d+(?:\.\d+)?h)?(?:\d+(?:\.\d+)?m)?(?:\d+(?:\.\d+)?s)?(?:\d+ms)?$"


def parse_duration(text: object) -> float:
    """Seconds in a duration written as Prometheus writes it (`30s`, `5m`, `1h30m`), or a plain number of seconds.

    Raises ValueError when it is neither, is negative, or is not finite.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        if not math.isfinite(text) or text < 0:
            raise ValueError(f"a duration cannot be {text}")
        return float(text)
    found = _DURATION.match(text.strip()) if isinstance(text, str) and text.strip() else None
    if not found or not any(found.groups()):
        raise ValueError(f"{text!r:.60} is not a duration; write it like 30s, 5m or 1h")
    days, hours, minutes, seconds, millis = (Decimal(part or 0) for part in found.groups())
    total = float(days * 86400 + hours * 3600 + minutes * 60 + seconds + millis / 1000)
    if not math.isfinite(total):
        raise ValueError(f"{text!r:.60} is too long for a duration")
    return total


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of the number line as it was written; a missing end is infinite."""

    low: Decimal | None
    high: Decimal | None
    closed: bool
    """Whether its written ends belong to it."""


def parse_stretches(text: object, name: str) -> tuple[Stretch, ...]:
    """The stretches in `< 60, > 90` or `350..500`, from low to high."""
    if not isinstance(text, str):
        raise ValueError(f'{name}: write it like "< 350", "350..500" or "> 500"')
    found = []
    for piece in text.split(","):
        beyond, between = _BEYOND.match(piece.strip()), _BETWEEN.match(piece.strip())
        if beyond:
            sign, edge = beyond.group(1), _edge(beyond.group(2), name)
            above = sign.startswith(">")
            found.append(Stretch(edge if above else None, None if above else edge, sign.endswith("=")))
        elif between:
            low, high = _edge(between.group(1), name), _edge(between.group(2), name)
            if low > high:
                raise ValueError(f"{name}: {low}..{high} runs backwards; write {high}..{low}")
            found.append(Stretch(low, high, True))
        else:
            raise ValueError(f'{name}: {piece.strip()!r:.60} is not a band; write "< 350", "350..500" or "> 500"')
    if len(found) > 2:
        raise ValueError(f"{name}: at most two stretches, one on each side")
    return tuple(sorted(found, key=lambda each: -math.inf if each.low is None else float(each.low)))


def _edge(text: str, name: str) -> Decimal:
    edge = Decimal(text)
    if edge and not Decimal("1e-9") <= abs(edge) <= Decimal("1e15"):
        raise ValueError(f"{name}: {text:.60} is out of range; an edge lies between 1e-9 and 1e15, or is 0")
    if len(edge.as_tuple().digits) > 15:
        raise ValueError(f"{name}: {text:.60} has more than 15 digits, which Prometheus cannot keep apart")
    return plain_decimal(edge)


def plain_decimal(number: Decimal) -> Decimal:
    """The same number with one way to write it: 350.0 and 3.5E2 are both 350, and there is no -0."""
    text = format(number, "f")
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text) if number else Decimal(0)


def parse_bands(written: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`{"high": {warning, critical, warning_owns_edge}, "low": …}` from the three written bands.

    Raises ValueError naming every overlap and gap between them.
    """
    missing = [name for name in ("good", "warning", "critical") if name not in written]
    unknown = [str(name) for name in written if name not in ("good", "warning", "critical")]
    if missing or unknown:
        raise ValueError(
            f"bands are good, warning and critical{_listed(' - missing: ', missing)}{_listed(' - unknown: ', unknown)}"
        )
    good, warning, critical = (parse_stretches(written[name], name) for name in ("good", "warning", "critical"))
    if len(good) != 1:
        raise ValueError("good: exactly one stretch")
    if any(each.low is not None and each.high is not None for each in critical):
        raise ValueError('critical: it has no far end; write "> 500", "< 60" or both')
    sides: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    centre = good[0]
    above = [each for each in warning if _lies_above(each, centre)]
    below = [each for each in warning if each not in above]
    far_above = [each for each in critical if each.high is None]
    far_below = [each for each in critical if each.high is not None]
    for side, edge, near, far in (("high", centre.high, above, far_above), ("low", centre.low, below, far_below)):
        if edge is None:
            faults += [
                f"good has no end on the {side} side, but {name} lies there"
                for name, there in (("warning", near), ("critical", far))
                if there
            ]
            continue
        faults += _side(sides, side, edge, centre.closed, near, far)
    if faults:
        raise ValueError("; ".join(faults))
    return sides


def _listed(before: str, words: list[str]) -> str:
    return before + ", ".join(words) if words else ""


def _lies_above(stretch: Stretch, good: Stretch) -> bool:
    if good.low is None or stretch.high is None:
        return True
    if good.high is None or stretch.low is None:
        return False
    return stretch.low + stretch.high > good.low + good.high


def _side(
    sides: dict[str, dict[str, Any]], side: str, edge: Decimal, good_owns: bool, near: list[Stretch], far: list[Stretch]
) -> list[str]:
    """Fill one side; return what is wrong with it. On the low side everything is mirrored."""
    if len(near) != 1 or len(far) != 1:
        return [f"the {side} side needs one stretch of warning and one of critical, it has {len(near)} and {len(far)}"]
    high = side == "high"
    begins, ends = (near[0].low, near[0].high) if high else (near[0].high, near[0].low)
    beyond = far[0].low if high else far[0].high
    if begins is None or ends is None or beyond is None:
        return [f'on the {side} side write warning as a range such as "350..500"']
    faults = []
    if far[0].closed:
        sign = ">" if high else "<"
        faults.append(f'a value exactly at {beyond} is warning: write critical as "{sign} {beyond}"')
    for one, other, first, second in (("good", "warning", edge, begins), ("warning", "critical", ends, beyond)):
        if first != second:
            overlap = (first > second) == high
            low, up = sorted((first, second))
            faults.append(
                f"{one} and {other} overlap between {low} and {up}"
                if overlap
                else f"no band holds the values between {low} and {up} ({one} and {other})"
            )
    if begins == ends and good_owns:
        faults.append(f"warning holds no value: good already has {begins}")
    sides[side] = {"warning": edge, "critical": beyond, "warning_owns_edge": not good_owns}
    return faults


def parse_response(text: str) -> dict[str, str]:
    """`escalate`, `tell:GROUP` or a playbook's id, as the fields of a Response."""
    kind, colon, name = text.partition(":")
    if text == "escalate":
        return {"kind": "escalate"}
    if kind == "tell" and name:
        return {"kind": "tell", "name": name}
    if colon or not text or text == "tell":
        raise ValueError(f'{text!r:.60} is not a response; write a playbook\'s id, "tell:reviewers" or "escalate"')
    return {"kind": "playbook", "name": text}


_NAME = r"[a-z]+_[a-z0-9]+_[a-z0-9_]+"
_MATCHER = r'[a-z_]+(?:=|!=|=~|!~)"[A-Za-z0-9_.|-]*"'
_PLAINLY_PROMQL = re.compile(rf"{_NAME}(?:\{{{_MATCHER}(?:,{_MATCHER})*\}})?", re.ASCII)
"""A series that needs no parser: no keyword of PromQL has two underscores, and any of these values is a pattern."""


def parsed_promql(expression: str) -> str:
    """The expression itself, when Prometheus would parse it and Grace can. Raises ValueError with what is wrong."""
    if _PLAINLY_PROMQL.fullmatch(expression):
        return expression
    # Imported here: what ships with Grace does without it, and it is 3 MB of memory.
    from catalog.expression import parsed

    try:
        parsed(expression)
    except ValueError as error:
        raise ValueError(f"{expression!r:.200} is not PromQL that can be read: {error}") from error
    return expression
