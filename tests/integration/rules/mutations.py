"""Small random damage to PromQL: an operator, a threshold, a window, a guard."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import promql_parser

Change = Callable[[re.Match[str], random.Random], str]

_OTHER = {
    ">": [">=", "<"], ">=": [">", "<"], "<": ["<=", ">"], "<=": ["<", ">"], "==": ["!=", ">="],
    "and": ["or", "unless"], "or": ["and"], "unless": ["and", "or"], "*": ["+"], "+": ["*", "-"], "-": ["+"], "/": ["*"],
}  # fmt: skip
_FUNCTIONS = {
    "max_over_time": ["min_over_time"], "min_over_time": ["max_over_time"], "sum_over_time": ["max_over_time"],
    "avg_over_time": ["max_over_time"], "count_over_time": ["sum_over_time"], "max by": ["min by"], "sum by": ["max by"],
    "rate": ["increase"], "present_over_time": ["absent_over_time"],
}  # fmt: skip


@dataclass(frozen=True)
class Mutation:
    """One damaged expression, and what was done to it."""

    what: str
    expr: str


def _operator(found: re.Match[str], chance: random.Random) -> str:
    return found[1] + chance.choice(_OTHER[found[2]]) + found[3]


def _threshold(found: re.Match[str], chance: random.Random) -> str:
    value = float(found[2])
    return found[1] + repr(chance.choice([value + 1, value * 1.1 + 0.01, value * 0.9 - 0.01]))


def _window(found: re.Match[str], chance: random.Random) -> str:
    seconds = promql_parser.parse_duration(found[1]).total_seconds()
    return f"[{max(1, round(seconds * chance.choice([0.3, 0.5, 2, 3])))}s]"


def _function(found: re.Match[str], chance: random.Random) -> str:
    return chance.choice(_FUNCTIONS[found[1]]) + found[2]


KINDS: dict[str, tuple[str, Change]] = {
    "operator": (r"(\s)(>=|<=|==|>|<|and|or|unless|\*|\+|-|/)((?= )|$|\n)", _operator),
    "threshold": (r"((?:bool|>|<|>=|<=|==) )(\d+(?:\.\d+)?)\b", _threshold),
    "window": (r"\[((?:\d+(?:ms|[hms]))+)\]", _window),
    "function": (rf"\b({'|'.join(_FUNCTIONS)})( ?\()", _function),
    "guard": (r"()( > -Inf < \+Inf| and timestamp\([^()]*\) > time\(\) - \d+(?:\.\d+)?| bool)()", lambda *_: ""),
}


def mutations(expr: str, chance: random.Random) -> Iterator[Mutation]:
    """Damaged versions of an expression that still parse, one of each kind where there is a place for it."""
    for kind, (pattern, change) in KINDS.items():
        places = list(re.finditer(pattern, expr))
        if not places:
            continue
        place = chance.choice(places)
        damaged = expr[: place.start()] + change(place, chance) + expr[place.end() :]
        try:
            promql_parser.parse(damaged)
        except ValueError:
            continue
        if damaged != expr:
            line = expr.count("\n", 0, place.start())
            yield Mutation(f"{kind}: {expr.splitlines()[line].strip()!r} at {place.group().strip()!r}", damaged)
