"""Small damage to a rule's PromQL: another operator, another threshold, another window, a guard taken away.

Every place of an expression gives one mutation for each change that fits there. Some provably change nothing, so that
no test can see them: they are made all the same, and carry the proof. Two kinds are left to a parser's imagination:

- `==` never becomes `>=` or `<=`: ranks are 0, 1 or 2, and at either end that is the same.
- Equal ranges in one expression change together: a sum or a product needs all its terms.

Names, labels and matching (`by`, `on`) are left alone: the damage is to numbers and logic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
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


_RECORDED = re.compile(r"(?:resource|job_instance_resource):grace_[a-z_:0-9]+\{[^}]*\}$")
_SKIPS = frozenset({22.5, 45.0, 225.0})
"""How much younger a measurement must be for the earlier one to be read, in seconds: a time, not an edge."""


@dataclass(frozen=True)
class Equivalent:
    """Mutations that change nothing: of records of this name, where `what` is found in what was done."""

    record: str
    what: str
    proof: str
    holds: Callable[[int, int], bool] = lambda interval, samples: True
    """For which intervals (seconds) and windows (evaluations) that is so."""

    def covers(self, record: str, what: str, interval: int, samples: int) -> bool:
        """Whether this mutation is one of them."""
        found = re.fullmatch(self.record, record) and re.search(self.what, what, re.DOTALL)
        return bool(found) and self.holds(interval, samples)


EQUIVALENT = (
    Equivalent(
        "resource:grace_alert:severity",
        r"^(threshold '0' -> '-1'|operator '>' -> '>=') before .* in 'max_over_time\(resource:grace_warning:raised",
        "What the line gives is the raised value itself: 0 let through is the 0 of the line below.",
    ),
    Equivalent(
        "resource:grace_source:returned",
        r"^window .* in 'last_over_time\(resource:grace_source:present\{[^}]*\}\[[^]]*\]\)'$",
        "It adds an evaluation without the source after one with it, which the last line takes away.",
    ),
    Equivalent(
        "resource:grace_value:(sample|window)",
        r"^operator '<' -> '<=' before ' \+Inf.*round\(histogram_quantile",
        "A quantile beyond the last bound is that bound, so it is never infinite.",
    ),
    Equivalent(
        "resource:grace_value:(sample|window)",
        r"^operator '<' -> '<=' before ' \+Inf.*resource:grace_denominator:",
        "A numerator is a part of its denominator: over nothing it is nothing, which is no number and not infinite.",
    ),
    Equivalent(
        "resource:grace_value:(sample|window)",
        r"^operator '>' -> '>=' before ' -Inf.*(resource:grace_denominator:|round\(histogram_quantile|"
        r"/ sum by \(resource\) \(\(grace_http_workers)",
        "Neither a quantile of times nor a quotient of what only grows is ever below 0.",
    ),
    Equivalent(
        "resource:grace_value:(sample|window)",
        r"^guard '> -Inf < \+Inf' .*resource:grace_denominator:",
        "A window of one interval has the sample's own denominator, which is at least `at_least`: never 0.",
        lambda interval, samples: samples == 1,
    ),
    Equivalent(
        "resource:grace_value:window",
        r"^guard '> -Inf < \+Inf' .*resource:grace_denominator:",
        "The denominator of the window is at least `at_least`: never 0.",
    ),
    Equivalent(
        "[A-Z].*",
        r"^window .* in 'last_over_time\(resource:grace_alert:severity",
        "The severity outlives every hold as 0 while the window has samples, and it has them for longer than any hold.",
        lambda interval, samples: samples >= 5,
    ),
)


@dataclass(frozen=True)
class Mutation:
    """One damaged expression; `kind` is operator, threshold, window or guard, and `what` says what was done where."""

    kind: str
    what: str
    expr: str
    proof: str = ""
    """Why it means the same; empty where it does not."""


def mutations(record: str, expr: str, interval: float, samples: int) -> Iterator[Mutation]:
    """Every mutation of an expression that is still PromQL, in the order of places.

    `interval` is the group's, in seconds; `samples` is how many evaluations its window holds.
    """
    for kind, start, end, text in _changes(expr):
        damaged = expr.replace(expr[start:end], text) if kind == "window" else expr[:start] + text + expr[end:]
        try:
            promql_parser.parse(damaged)
        except ValueError:
            continue
        line = expr[expr.rfind("\n", 0, max(start, 1)) + 1 :].lstrip("\n").split("\n")[0].strip()
        what = f"{kind} {expr[start:end].strip()!r} -> {text!r} before {expr[end : end + 12]!r} in {line!r}"
        proof = _proof(record, what, interval, samples)
        if _holds_as_many(kind, expr[:start], expr[start:end], text, interval):
            proof = "Evaluations lie on the group's grid, and the range holds as many of them as before."
        yield Mutation(kind, what, damaged, proof)


def _proof(record: str, what: str, interval: float, samples: int) -> str:
    for each in EQUIVALENT:
        if each.covers(record, what, round(interval), samples):
            return each.proof
    return ""


def _holds_as_many(kind: str, before: str, now: str, text: str, interval: float) -> bool:
    """Whether it is the range of a recorded series, which has a sample at each evaluation and none between."""
    if kind != "window" or not _RECORDED.search(before):
        return False
    spans = (promql_parser.parse_duration(each.strip("[]")).total_seconds() for each in (now, text))
    first, second = (int(span / interval) for span in spans)
    return first == second


def _changes(expr: str) -> Iterator[tuple[str, int, int, str]]:
    for found in _OPERATOR.finditer(expr):
        # The signs of the infinities are followed by no space, so they are never found here.
        for other in _OPERATORS[found.group()]:
            yield "operator", found.start(), found.end(), other
    for found in _THRESHOLD.finditer(expr):
        for other in _thresholds(found):
            yield "threshold", found.start(2), found.end(2), other
    seen: set[str] = set()
    for found in _WINDOW.finditer(expr):
        seconds = promql_parser.parse_duration(found[1]).total_seconds()
        for factor in (0.5, 2):
            if found[1] not in seen:
                yield "window", found.start(), found.end(), f"[{max(1, round(seconds * factor * 1000))}ms]"
        seen.add(found[1])
    for guard in _GUARDS:
        for found in guard.finditer(expr):
            yield "guard", found.start(), found.end(), ""


def _thresholds(found: re.Match[str]) -> tuple[str, ...]:
    """A time twice or half as long; a count one more or less; an edge a tenth further or nearer."""
    value = float(found[2])
    if found[1].startswith("time") or value in _SKIPS:
        return (format(value * 2, "g"), format(value / 2, "g"))
    if value <= 8 and value.is_integer():
        return (str(int(value + 1)), str(int(value - 1)))
    return (format(value * 1.1, "f"), format(value * 0.9, "f"))
