"""`grace ledger`: check, back up and restore the database itself, whether or not remediators are writing to it.

A backup is a SQLite ledger whatever the engine: it can be checked, verified and read by itself, and run on.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from remediator.cli.client import (
    NOT_RIGHT,
    Failure,
    NotRight,
    config_option,
    data_option,
    find_place,
    json_option,
)
from remediator.cli.output import print_fields, print_json
from remediator.database_url import ledger_place
from remediator.ledger.copy import copy, counts, faults_of_postgres
from remediator.ledger.engine import LedgerRefused, cause, place_of, postgres
from remediator.ledger.migrations import version
from remediator.ledger.schema import VERSION, metadata
from remediator.ledger.sqlite import sqlite_engine

T = TypeVar("T")
_PAGES = 1000
"""Pages copied before writers get their turn."""
_LISTED = 10


@click.group()
def ledger() -> None:
    """Check, back up or restore the ledger, straight from its file or database.

    \b
    Examples:
      grace ledger check
      grace ledger backup /var/backups/grace.db
      grace ledger restore /var/backups/grace.db
    """


@ledger.command()
@config_option
@data_option
@json_option
def check(config: Path | None, data: Path | None, as_json: bool) -> None:
    """Check every page and index of the ledger file, or what PostgreSQL knows of its own. Exits 1 when it is damaged.

    The audit log's own proof is `grace audit verify`.
    """
    place = _place(config, data)
    if isinstance(place, str):
        path, found = place_of(place), _on_postgres(place, _examined_postgres)
    else:
        with closing(_opened(place)) as connection:
            path, found = str(place), _examined(connection)
    if as_json:
        print_json({"file": path, **found})
    else:
        rows = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found["rows"].items())
        print_fields(
            [("ledger", path), ("version", found["version"]), ("rows", rows), ("state", "ok" if found["ok"] else None)]
        )
        for fault in found["faults"]:
            click.echo(f"damaged: {fault}", err=True)
    if not found["ok"]:
        raise SystemExit(NOT_RIGHT)


@ledger.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@data_option
@json_option
def backup(file: Path, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Copy the ledger to a new FILE, consistent as of one moment, then check the copy.

    FILE is a SQLite ledger, also where the ledger is in PostgreSQL. To restore, stop the remediator and put FILE in
    the ledger's place, or `grace ledger restore` it into an empty database.
    """
    place = _place(config, data)
    if file.exists():
        raise Failure(f"{file} exists already; name a new file")
    part = file.with_name(f"{file.name}.part")
    try:
        # Created first, so that it is never readable by others, not even while it is copied.
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        _copied(place, part)
        with closing(sqlite3.connect(part)) as copy:
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
            found = _examined(copy)
        if found["ok"]:
            _sync(part)
            os.link(part, file)  # unlike a rename, never over a file that appeared meanwhile
    except (OSError, sqlite3.Error) as error:
        raise Failure(f"{file} cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    if not found["ok"]:
        raise NotRight(f"the ledger is damaged, no backup was made: {found['faults'][0]}")
    if as_json:
        print_json({"file": str(file), "bytes": file.stat().st_size, **found})
    else:
        click.echo(f"{file}: {file.stat().st_size} bytes, {found['rows'].get('audit', 0)} audit entries, checked")


@ledger.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@data_option
def restore(file: Path, config: Path | None, data: Path | None) -> None:
    """Copy a backup into the empty PostgreSQL database that `ledger.url` names.

    A ledger in a file needs no command: stop the remediator and put FILE in its place.
    """
    place = _place(config, data, wanted=False)
    if not isinstance(place, str):
        raise Failure(f"the ledger is a file: stop the remediator and put {file} in the place of {place}")
    if not file.is_file():
        raise Failure(f"there is no backup at {file}")

    def into(target: Connection) -> dict[str, int]:
        _opened(file).close()
        with sqlite_engine(file, writer=False).connect() as source:
            return copy(source, target, place_of(place))

    rows = _on_postgres(place, into)
    click.echo(f"{place_of(place)}: {rows['audit']} audit entries, {rows['incidents']} incidents; start the remediator")


def _place(config: Path | None, data: Path | None, *, wanted: bool = True) -> Path | str:
    """The SQLite file of the ledger, or its PostgreSQL URL. Raises Failure where there is none (and it is `wanted`)."""
    try:
        place = ledger_place(find_place(config, data, None).config)
    except ValueError as error:
        raise Failure(str(error)) from None
    if wanted and isinstance(place, Path) and not place.is_file():
        raise Failure(f"there is no ledger at {place}: name the data folder with --data")
    return place


def _copied(place: Path | str, part: Path) -> None:
    if isinstance(place, Path):
        with closing(_opened(place)) as source, closing(sqlite3.connect(part)) as target:
            source.backup(target, pages=_PAGES)
        return

    def out(source: Connection) -> None:
        engine = sqlite_engine(part, writer=True)
        with engine.begin() as target:
            copy(source, target, str(part))
        engine.dispose()

    _on_postgres(place, out, writing=False)


def _on_postgres(url: str, function: Callable[[Connection], T], *, writing: bool = True) -> T:
    """What `function` gave, in one transaction there. Raises Failure when the database cannot be used."""

    async def run() -> T:
        engine = postgres().postgres_engine(url, patient=True)
        try:
            isolated = engine if writing else engine.execution_options(isolation_level="REPEATABLE READ")
            async with isolated.begin() as connection:
                found: T = await connection.run_sync(function)
                return found
        finally:
            await engine.dispose()

    try:
        return asyncio.run(run())
    except LedgerRefused as error:
        raise Failure(str(error)) from error
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise Failure(f"{place_of(url)} cannot be used as a ledger: {cause(error)}") from error


def _examined_postgres(connection: Connection) -> Mapping[str, Any]:
    number = version(connection)
    if not number:
        raise LedgerRefused("this database is not a ledger")
    if number > VERSION:
        return {"ok": False, "version": number, "rows": {}, "faults": [_newer(number)]}
    faults = faults_of_postgres(connection)
    return {"ok": not faults, "version": number, "rows": counts(connection), "faults": faults}


def _newer(found: object) -> str:
    return f"its version is {found}; this program knows up to {VERSION}"


def _opened(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=10)
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise Failure(f"{path} cannot be read as a ledger: {error}") from error
    return connection


def _examined(connection: sqlite3.Connection) -> Mapping[str, Any]:
    """Version, rows by table, and what is damaged. Raises Failure for a database that is no ledger of ours."""
    try:
        told = connection.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
    except sqlite3.Error as error:
        raise Failure(f"this database is not a ledger: {error}") from error
    number = int(told[0]) if told and str(told[0]).isdecimal() else None
    try:
        faults = [line for (line,) in connection.execute(f"PRAGMA integrity_check({_LISTED})") if line != "ok"]
        rows = {table: _count(connection, table) for table in sorted(metadata.tables)}
    except sqlite3.DatabaseError as error:
        faults, rows = [str(error)], {}
    if number is None or number > VERSION:
        faults.append(_newer(told[0] if told else "missing"))
    return {"ok": not faults, "version": number, "rows": rows, "faults": faults}


def _count(connection: sqlite3.Connection, table: str) -> int:
    count: int = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]  # noqa: S608 - our own names
    return count


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
