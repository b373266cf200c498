"""How commands print: JSON for programs, tables for people, and never a stranger's control characters."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

import click

from remediator.words import moment as moment
from remediator.words import printable as printable
from remediator.words import shown as shown


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
