"""YAML, written byte for byte the same on every machine and Python: the few forms that rule files need, and quickly.

Not PyYAML's dumper: its line folding changes between releases, and it takes seconds for a thousand metrics.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

Value = str | int | float | bool | None | Mapping[str, "Value"] | Sequence["Value"]

_PLAIN = re.compile(r"^[A-Za-z_/][A-Za-z0-9_./:-]*[A-Za-z0-9_/]$|^[A-Za-z_]$")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_DURATION = re.compile(r"^(\d+(ms|[dhms]))+$")


def dump(value: Value, header: str = "") -> str:
    """The document, ending in a newline, under `header` as comment lines."""
    comment = "".join(f"# {line}".rstrip() + "\n" for line in header.splitlines())
    return comment + "".join(line + "\n" for line in _lines(value, 0))


def _lines(value: Value, depth: int) -> list[str]:
    pad = "  " * depth
    if isinstance(value, Mapping):
        lines = []
        for key, item in value.items():
            lines.extend(_entry(f"{pad}{_scalar(key)}:", item, depth))
        return lines
    if isinstance(value, Sequence) and not isinstance(value, str):
        lines = []
        for item in value:
            body = _lines(item, depth + 1) if _nested(item) else [pad + "  " + _scalar(item)]
            lines.append(f"{pad}- {body[0].lstrip()}")
            lines.extend(body[1:])
        return lines
    return [pad + _scalar(value)]


def _entry(key: str, item: Value, depth: int) -> list[str]:
    if _nested(item):
        return [key, *_lines(item, depth + 1)]
    if isinstance(item, str) and "\n" in item and _is_block(item):
        pad = "  " * (depth + 1)
        return [f"{key} |-", *(pad + line if line else "" for line in item.split("\n"))]
    return [f"{key} {_scalar(item)}"]


def _is_block(text: str) -> bool:
    """Whether the text can stand as it is: no line of it would change how a parser reads the indentation."""
    lines = text.split("\n")
    return all(map(str.isprintable, lines)) and lines[0][:1] not in ("", " ") and bool(lines[-1].strip())


def _nested(item: Value) -> bool:
    return isinstance(item, Mapping | Sequence) and not isinstance(item, str) and len(item) > 0


def _scalar(item: Value) -> str:
    if isinstance(item, Mapping):
        return "{}"
    if item is None or isinstance(item, bool | int | float):
        return json.dumps(item)
    if not isinstance(item, str):
        return "[]"
    if (_PLAIN.fullmatch(item) and item.lower() not in _WORDS) or _DURATION.fullmatch(item):
        return item
    if item.isprintable():
        return "'" + item.replace("'", "''") + "'"
    return '"' + "".join(map(_escaped, item)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\U{ord(char):08x}"
