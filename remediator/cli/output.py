"""How commands print: JSON for programs, tables for people, and never a stranger's control characters."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click


def print_json(document: object) -> None:
    """The document as indented ASCII JSON."""
    click.echo(json.dumps(document, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Rows below their titles: drawn by rich on a terminal, plain and aligned elsewhere; `empty` for none."""
    cells = [[shown(value) for value in row] for row in rows]
    if not cells:
        click.echo(empty)
    elif sys.stdout.isatty():
        _print_rich(columns, cells)
    else:
        titles = [column.upper() for column in columns]
        widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
        for row in (titles, *cells):
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """One `name  value` a line, empty values left out."""
    kept = [(name, shown(value)) for name, value in fields if value not in (None, "", (), [], {})]
    width = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        click.echo(f"{name.ljust(width)}  {value}")


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


def _print_rich(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    # Imported here, for it costs more time than everything else a command does.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
