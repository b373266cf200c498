"""YAML, written byte for byte the same on every machine and Python: the few forms that rule files need, and quickly.

Not PyYAML's dumper: its line folding changes between releases, and it takes seconds for a thousand metrics.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

Value = str | int | float | bool | None | Mapping[str, "Value"] | Sequence["Value"]
"""What can be written; its mappings are dicts, its sequences lists and tuples."""

_PLAIN = re.compile(r"^[A-Za-z_/][A-Za-z0-9_./:-]*[A-Za-z0-9_/]$|^[A-Za-z_]$")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_DURATION = re.compile(r"^(\d+(ms|[dhms]))+$")


def dump(value: Value, header: str = "") -> str:
    """The document, ending in a newline, under `header` as comment lines."""
    return dump_comment(header) + "".join(line + "\n" for line in _lines(value, 0))


def dump_comment(header: str) -> str:
    """The lines as comments; nothing for no lines."""
    return "".join(f"# {line}".rstrip() + "\n" for line in header.splitlines())


def _lines(value: Value, depth: int) -> list[str]:
    lines: list[str] = []
    _write(lines, value, "  " * depth)
    return lines


def _write(lines: list[str], value: Value, pad: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _entry(lines, f"{pad}{_text(key)}:", item, pad)
    elif isinstance(value, list | tuple):
        for item in value:
            if item and isinstance(item, dict | list | tuple):
                begin = len(lines)
                _write(lines, item, pad + "  ")
                lines[begin] = f"{pad}- {lines[begin].lstrip()}"
            else:
                lines.append(f"{pad}- {_scalar(item)}")
    else:
        lines.append(pad + _scalar(value))


def _entry(lines: list[str], key: str, item: Value, pad: str) -> None:
    if isinstance(item, str):
        if "\n" in item and _is_block(item):
            lines.append(f"{key} |-")
            lines.extend(f"{pad}  {line}" if line else "" for line in item.split("\n"))
        else:
            lines.append(f"{key} {_text(item)}")
    elif item and isinstance(item, dict | list | tuple):
        lines.append(key)
        _write(lines, item, pad + "  ")
    else:
        lines.append(f"{key} {_scalar(item)}")


def _is_block(text: str) -> bool:
    """Whether the text can stand as it is: no line of it would change how a parser reads the indentation."""
    lines = text.split("\n")
    return all(map(str.isprintable, lines)) and lines[0][:1] not in ("", " ") and bool(lines[-1].strip())


def _scalar(item: Value) -> str:
    if isinstance(item, str):
        return _text(item)
    if isinstance(item, dict):
        return "{}"
    return "[]" if isinstance(item, list | tuple) else json.dumps(item)


@lru_cache(maxsize=4096)
def _text(item: str) -> str:
    if (_PLAIN.fullmatch(item) and item.lower() not in _WORDS) or _DURATION.fullmatch(item):
        return item
    if item.isprintable():
        return "'" + item.replace("'", "''") + "'"
    return '"' + "".join(map(_escaped, item)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\U{ord(char):08x}"
