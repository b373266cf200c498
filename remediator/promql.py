"""PromQL text made from values that are not trusted."""

from __future__ import annotations

import re

_PLAIN_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def quoted(value: str) -> str:
    """A PromQL string literal that means exactly this value, whatever it holds.

    Lone surrogates, which no label can hold, become U+FFFD.
    """
    clean = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return '"' + "".join(_escaped(character) for character in clean) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character < " " or character == "\x7f":
        return f"\\x{ord(character):02x}"
    return character


def selector(name: str, **labels: str) -> str:
    """A selector of the series `name` whose labels are exactly these values: `up{job="a"}`.

    Raises ValueError for a series or label name that is none: names come from code, values from anywhere.
    """
    if not _PLAIN_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a series name")
    for label in labels:
        if not _LABEL_NAME.fullmatch(label):
            raise ValueError(f"{label!r} is not a label name")
    matchers = ",".join(f"{label}={quoted(value)}" for label, value in labels.items())
    return f"{name}{{{matchers}}}"


def duration(seconds: float) -> str:
    """A PromQL duration to the millisecond, at least one: `4m45s`, `500ms`."""
    left = max(1, round(seconds * 1000))
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text
