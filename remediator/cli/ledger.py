"""`grace ledger`: check and back up the SQLite file itself, whether or not a remediator is writing to it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

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
from remediator.ledger.schema import VERSION, metadata

_PAGES = 1000
"""Pages copied before writers get their turn."""
_LISTED = 10


@click.group()
def ledger() -> None:
    """Check or back up the ledger, straight from its file.

    \b
    Examples:
      grace ledger check
      grace ledger backup /var/backups/grace.db
    """


@ledger.command()
@config_option
@data_option
@json_option
def check(config: Path | None, data: Path | None, as_json: bool) -> None:
    """Check every page and index of the ledger file. Exits 1 when it is damaged.

    The audit log's own proof is `grace audit verify`.
    """
    path = ledger_file(config, data)
    with closing(_opened(path)) as connection:
        found = _examined(connection)
    if as_json:
        print_json({"file": str(path), **found})
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

    To restore, stop the remediator and put FILE in the ledger's place.
    """
    path = ledger_file(config, data)
    if file.exists():
        raise Failure(f"{file} exists already; name a new file")
    part = file.with_name(f"{file.name}.part")
    try:
        # Created first, so that it is never readable by others, not even while it is copied.
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        with closing(_opened(path)) as source, closing(sqlite3.connect(part)) as copy:
            source.backup(copy, pages=_PAGES)
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


def ledger_file(config: Path | None, data: Path | None) -> Path:
    """The SQLite file of the ledger. Raises Failure for another database, or when there is none yet."""
    settings = find_place(config, data, None).config
    path = settings.data_dir / "ledger.db"
    if settings.ledger.url is not None:
        try:
            url = make_url(settings.ledger.url)
        except ArgumentError as error:
            raise Failure("ledger.url is not a database URL; write sqlite:///PATH") from error
        if url.get_backend_name() != "sqlite" or not url.database:
            raise Failure(f"the ledger is in {url.get_backend_name()}: use its own tools to check and back it up")
        path = Path(url.database)
    if not path.is_file():
        raise Failure(f"there is no ledger at {path}: name the data folder with --data")
    return path


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
        version = connection.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
    except sqlite3.Error as error:
        raise Failure(f"this database is not a ledger: {error}") from error
    number = int(version[0]) if version and str(version[0]).isdecimal() else None
    try:
        faults = [line for (line,) in connection.execute(f"PRAGMA integrity_check({_LISTED})") if line != "ok"]
        rows = {table: _count(connection, table) for table in sorted(metadata.tables)}
    except sqlite3.DatabaseError as error:
        faults, rows = [str(error)], {}
    if number is None or number > VERSION:
        faults.append(f"its version is {version[0] if version else 'missing'}; this program knows up to {VERSION}")
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
