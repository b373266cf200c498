"""Values in words: one line each, and never a stranger's control characters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def shown(value: object) -> str:
    """A value for people: `-` for nothing, words for lists, one line, without what a terminal would obey."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{shown(name)}={shown(inner)}" for name, inner in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(shown(inner) for inner in value) or "-"
    return printable(str(value))


def printable(text: str) -> str:
    """The text with every control character, line break and invisible character replaced by U+FFFD."""
    return "".join(character if character.isprintable() else "�" for character in text)


def moment(seconds: Any) -> str:
    """An instant for people: `2026-11-22 07:50:19Z`; `-` for none."""
    if not isinstance(seconds, int | float):
        return "-"
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return shown(seconds)
