"""Small damage to a rule's PromQL: another operator, another threshold, another window, a guard taken away.

Every place of an expression gives one mutation for each change that fits there. What provably changes nothing is not
made, for no test can see it:

- A range that holds as many evaluations as before (`[i/2]` halved still holds the one that this evaluation wrote).
- `==` never becomes `>=` or `<=`: ranks are 0, 1 or 2, and at either end that is the same.
- One range of several equal ones: a sum or a product needs all its terms, so all equal ranges change together.
- What `EQUIVALENT` lists, each with its proof.

Names, labels and matching (`by`, `on`) are left alone: the damage is to numbers and logic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import promql_parser

_OPERATORS = {
    ">": (">=", "<"), ">=": (">", "<"), "<": ("<=", ">"), "<=": ("<", ">"), "==": ("!=",),
    "and": ("or", "unless"), "or": ("and",), "unless": ("and", "or"),
    "*": ("+",), "+": ("*", "-"), "-": ("+",), "/": ("*",),
}  # fmt: skip
_OPERATOR = re.compile(r"(?<=\s)(?:>=|<=|==|>|<|and|or|unless|[-*+/])(?=\s)")
_THRESHOLD = re.compile(r"(?<=\s)((?:>|<|>=|<=|==)(?: bool)? |time\(\) - )(\d+(?:\.\d+)?)\b")
_WINDOW = re.compile(r"\[((?:\d+(?:ms|[hms]))+)\]")
_GUARDS = tuple(
    re.compile(pattern)
    for pattern in (
        r" > -Inf < \+Inf",
        r" and timestamp\([^()]*\) > time\(\) - \d+(?:\.\d+)?",
        r" bool",
        r" >= 0(?= and resets)",
        r"\n\* \([^\n]*\)(?=\n)",
        r"\nand [^\n]*",
        r"\n *unless [^\n()]*\([^\n()]*\)",
    )
)


@dataclass(frozen=True)
class Equivalent:
    """Mutations that change nothing: of records of this name, where `what` is found in what was done."""

    record: str
    what: str
    proof: str

    def covers(self, record: str, what: str) -> bool:
        """Whether this mutation is one of them."""
        return bool(re.fullmatch(self.record, record) and re.search(self.what, what))


EQUIVALENT = (
    Equivalent(
        "resource:grace_alert:severity",
        r"^(threshold '0' -> '-1'|operator '>' -> '>=') in 'max_over_time\(resource:grace_warning:raised",
        "What the line gives is the raised value itself: 0 let through is the 0 of the line below.",
    ),
    Equivalent(
        ".*",
        r"^guard ' and timestamp.*\) and on \(job, instance, resource\)|"
        r"^threshold .* in '\(.* and timestamp.*\) and on \(job, instance, resource\)",
        "A reading whose timestamp was not read before was scraped since then, and its whole target with it.",
    ),
    Equivalent(
        "resource:grace_source:returned",
        r"^window .* in 'last_over_time\(resource:grace_source:present\{[^}]*\}\[[^]]*\]\)'$",
        "It adds an evaluation without the source after one with it, which the last line takes away.",
    ),
    Equivalent(
        "resource:grace_value:sample",
        r"^operator '<' -> '<='.*round\(histogram_quantile",
        "A quantile beyond the last bound is that bound, so it is never infinite.",
    ),
    Equivalent(
        "[A-Z].*",
        r"^window .* in 'last_over_time\(resource:grace_alert:severity",
        "The severity outlives every hold as 0 while the window has samples; where a window holds fewer than five "
        "evaluations it may not, and there these are made.",
    ),
)
"""The last one is for windows of five evaluations and more."""
FEW = 5


@dataclass(frozen=True)
class Mutation:
    """One damaged expression; `kind` is operator, threshold, window or guard, and `what` says what was done where."""

    kind: str
    what: str
    expr: str


def mutations(record: str, expr: str, interval: float, samples: int) -> Iterator[Mutation]:
    """Every mutation of an expression that is still PromQL and means something else, in the order of places.

    `interval` is the group's, in seconds; `samples` is how many evaluations its window holds.
    """
    proven = EQUIVALENT if samples >= FEW else EQUIVALENT[:-1]
    for kind, start, end, text in _changes(expr, interval):
        damaged = expr.replace(expr[start:end], text) if kind == "window" else expr[:start] + text + expr[end:]
        try:
            promql_parser.parse(damaged)
        except ValueError:
            continue
        line = expr[expr.rfind("\n", 0, max(start, 1)) + 1 :].lstrip("\n").split("\n")[0].strip()
        what = f"{kind} {expr[start:end].strip()!r} -> {text!r} in {line!r}"
        if not any(each.covers(record, what) for each in proven):
            yield Mutation(kind, what, damaged)


def _changes(expr: str, interval: float) -> Iterator[tuple[str, int, int, str]]:
    for found in _OPERATOR.finditer(expr):
        # The signs of the infinities are followed by no space, so they are never found here.
        for other in _OPERATORS[found.group()]:
            yield "operator", found.start(), found.end(), other
    for found in _THRESHOLD.finditer(expr):
        for other in _thresholds(found, interval):
            yield "threshold", found.start(2), found.end(2), other
    seen: set[str] = set()
    for found in _WINDOW.finditer(expr):
        seconds = promql_parser.parse_duration(found[1]).total_seconds()
        for factor in (0.5, 2):
            if found[1] not in seen and int(seconds / interval) != int(seconds * factor / interval):
                yield "window", found.start(), found.end(), f"[{max(1, round(seconds * factor * 1000))}ms]"
        seen.add(found[1])
    for guard in _GUARDS:
        for found in guard.finditer(expr):
            yield "guard", found.start(), found.end(), ""


def _thresholds(found: re.Match[str], interval: float) -> tuple[str, ...]:
    """A time twice or half as long; a count one more or less; an edge a tenth further or nearer."""
    value = float(found[2])
    if found[1].startswith("time") or value == 0.75 * interval:
        return (format(value * 2, "g"), format(value / 2, "g"))
    if value <= 8 and value.is_integer():
        return (str(int(value + 1)), str(int(value - 1)))
    return (format(value * 1.1, "f"), format(value * 0.9, "f"))
