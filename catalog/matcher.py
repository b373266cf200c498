"""Alertmanager's matchers: `alertname="HostDown", env=~"prod|stage"`, with its UTF-8 names and anchored expressions.

Label values come from strangers. So a regular expression may hold only what Alertmanager's own engine knows (no
lookaround, no back-references), no repetition within a repetition and at most three unbounded ones, and is tried only
on values up to 300 characters: matching stays quick whatever a label says.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as grammar  # type: ignore[attr-defined]
from typing import Any

MAX_VALUE = 300
MAX_UNBOUNDED = 3
MAX_NESTED = 30
"""How often a repetition may be repeated, both taken together."""
_OPERATORS = ("=~", "!~", "!=", "=")
_SPECIAL = frozenset("{}!=~,\\\"'`")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_HEX_LENGTH = {"x": 2, "u": 4, "U": 8}
_PLAIN_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label. An absent label counts as empty, as it does for Alertmanager."""

    name: str
    operator: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels fulfil it; a value too long for an expression fulfils neither =~ nor !~."""
        found = labels.get(self.name, "")
        if self.operator in ("=", "!="):
            return (found == self.value) == (self.operator == "=")
        if len(found) > MAX_VALUE:
            return False
        return (_expression(self.value).fullmatch(found) is not None) == (self.operator == "=~")

    def __str__(self) -> str:
        name = self.name if _PLAIN_NAME.match(self.name) else _quoted(self.name)
        return f"{name}{self.operator}{_quoted(self.value)}"


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """The matchers in a line as Alertmanager reads it, braces optional. Raises ValueError with what is wrong."""
    return tuple(_Reader(text).matchers())


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def check_expression(pattern: str) -> None:
    """Raises ValueError where the expression is not one that Alertmanager understands, or could be slow to match."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = grammar.parse(pattern)
            re.compile(pattern, re.ASCII)
    except (re.error, Warning, RecursionError, OverflowError) as error:
        raise ValueError(f"{pattern!r:.80} is not a regular expression: {error}") from error
    try:
        unbounded = _unbounded(tree, repeated=1)
    except ValueError as error:
        raise ValueError(f"{pattern!r:.80} {error}") from error
    if unbounded > MAX_UNBOUNDED:
        raise ValueError(f"{pattern!r:.80} holds more than {MAX_UNBOUNDED} unbounded repetitions (*, +); use fewer")


def _unbounded(tree: Any, *, repeated: float) -> float:
    """How many unbounded repetitions one way through the expression meets, where all of it is `repeated` times."""
    count: float = 0
    for operator, argument in tree:
        if operator in (ops.MAX_REPEAT, ops.MIN_REPEAT):
            count += _unbounded_in_repeat(*argument, repeated=repeated)
        elif operator is ops.SUBPATTERN:
            count += _unbounded(argument[3], repeated=repeated)
        elif operator is ops.BRANCH:
            if repeated > MAX_NESTED / 5:
                raise ValueError("repeats a choice, which can take for ever; write it flat")
            count += max(_unbounded(branch, repeated=repeated) for branch in argument[1])
        elif operator not in (ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN, ops.AT):
            raise ValueError(f"uses what Alertmanager's expressions do not have: {operator}")
    return count


def _unbounded_in_repeat(least: int, most: Any, inner: Any, *, repeated: float) -> float:
    endless = most > MAX_NESTED
    times = math.inf if endless else repeated * most
    if least != most and repeated > 1 and times > MAX_NESTED:
        raise ValueError("repeats a repetition, which can take for ever; write it flat")
    return (repeated if endless else 0) + _unbounded(inner, repeated=times)


class _Reader:
    """Reads matchers from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def matchers(self) -> Iterator[Matcher]:
        self.blank()
        braces = self.take("{")
        self.blank()
        while self.at < len(self.text) and self.text[self.at] != "}":
            yield self.matcher()
            self.blank()
            if not self.take(","):
                break
            self.blank()
        if braces and not self.take("}"):
            raise self.wrong("a closing } is missing")
        self.blank()
        if self.at < len(self.text):
            raise self.wrong(f"{self.text[self.at]!r} is not expected here; put commas between matchers")

    def matcher(self) -> Matcher:
        name = self.word("a label's name")
        self.blank()
        operator = next((each for each in _OPERATORS if self.take(each)), None)
        if operator is None:
            raise self.wrong("one of =, !=, =~, !~ is expected")
        self.blank()
        value = self.word("a value")
        if operator in ("=~", "!~"):
            check_expression(value)
        return Matcher(name, operator, value)

    def word(self, what: str) -> str:
        if self.take('"'):
            return self.quoted()
        begin = self.at
        while self.at < len(self.text) and not self.text[self.at].isspace() and self.text[self.at] not in _SPECIAL:
            self.at += 1
        if begin == self.at:
            raise self.wrong(f"{what} is expected")
        return self.text[begin : self.at]

    def quoted(self) -> str:
        found: list[str] = []
        while self.at < len(self.text):
            character = self.text[self.at]
            self.at += 1
            if character == '"':
                return "".join(found)
            found.append(self.escape() if character == "\\" else character)
        raise self.wrong("a closing quote is missing")

    def escape(self) -> str:
        kind = self.text[self.at : self.at + 1]
        self.at += 1
        if kind in _ESCAPES:
            return _ESCAPES[kind]
        length = _HEX_LENGTH.get(kind, 0)
        digits = self.text[self.at : self.at + length]
        if length and re.fullmatch(r"[0-9A-Fa-f]+", digits) and len(digits) == length:
            code = int(digits, 16)
            if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
                self.at += length
                return chr(code)
        raise self.wrong(f"\\{kind} is not an escape")

    def blank(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def take(self, token: str) -> bool:
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def wrong(self, message: str) -> ValueError:
        return ValueError(f"matcher, character {self.at + 1}: {message}")
