"""`grace audit`: read, verify and export the audit log, straight from the ledger file, whether or not Grace runs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from catalog.config import GraceConfig
from catalog.fault import CatalogError
from catalog.load import config_path, load_config
from remediator.audit.aside import WORTH_IT
from remediator.audit.checkpoint import BadKey, PublicKey, public_path, read_keys, read_notes
from remediator.audit.export import ExportFile, NotAnExport, lines
from remediator.audit.store import LedgerFile, Unreadable
from remediator.audit.verify import BrokenSource, Fault, Report, Row, verify
from remediator.database_url import ledger_place

FOLLOW_EVERY = 0.5
"""Seconds between two looks of `tail -f`."""

if TYPE_CHECKING:
    from remediator.audit.database import LedgerDatabase


class CannotRead(click.ClickException):
    """The input or the configuration cannot be used: exit 2."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Places:
    """Where the parts of one audit log lie."""

    config: GraceConfig
    """Names the ledger."""
    key: Path
    checkpoints: Path

    @classmethod
    def of(cls, config: GraceConfig) -> Places:
        data = config.data_dir
        return cls(
            config=config,
            key=public_path(config.audit.key_file or data / "audit.key"),
            checkpoints=config.audit.checkpoints_file or data / "checkpoints.log",
        )

    def opened(self) -> LedgerFile | LedgerDatabase:
        """The audit log in the ledger. Raises Unreadable, or CannotRead for a URL that means neither engine."""
        try:
            place = ledger_place(self.config)
        except ValueError as error:
            raise CannotRead(str(error)) from None
        if isinstance(place, Path):
            return LedgerFile(place)
        # Imported where it is used: most ledgers are files.
        from remediator.audit.database import LedgerDatabase

        return LedgerDatabase(place)


def _places(config: Path | None, data: Path | None) -> Places:
    try:
        if config is None and data is not None:
            inside = data / "grace.yml"
            found = load_config(inside if inside.exists() else None)
        else:
            found = load_config(config_path(config))
    except CatalogError as error:
        raise CannotRead(str(error)) from error
    except OSError as error:
        raise CannotRead(f"{error.filename}: {error.strerror}") from error
    return Places.of(found if data is None else found.model_copy(update={"data_dir": data.absolute()}))


@contextmanager
def _told() -> Iterator[None]:
    """What went wrong with an input, as one line and exit 2."""
    try:
        yield
    except (Unreadable, NotAnExport, BadKey) as error:
        raise CannotRead(str(error)) from error
    except OSError as error:
        raise CannotRead(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error


def _location(command: Callable[..., Any]) -> Callable[..., Any]:
    path = click.Path(path_type=Path)
    command = click.option("--data", type=path, help="Data folder, instead of the configuration's.")(command)
    return click.option("--config", type=path, help="grace.yml (else $GRACE_CONFIG, else ./grace.yml).")(command)


@click.group()
def audit() -> None:
    """Read, verify and export the audit log."""


@audit.command("verify")
@click.option("--file", "export", type=click.Path(path_type=Path), help="Verify this export instead of the ledger.")
@click.option("--key", "pinned", metavar="PUB", help="The pinned public key: a file such as audit.pub, or its line.")
@click.option("--checkpoints", type=click.Path(path_type=Path), help="Checkpoints kept elsewhere.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@_location
def verify_command(
    export: Path | None,
    pinned: str | None,
    checkpoints: Path | None,
    as_json: bool,
    config: Path | None,
    data: Path | None,
) -> None:
    """Check every entry, every link and every signed checkpoint.

    Exit 0: whole. Exit 1: broken, and the first entry concerned is named. Exit 2: it cannot be read.
    """
    places = _places(config, data)
    with _told():
        if export is None:
            report = _verified_ledger(places, pinned, checkpoints)
        else:
            report = _verified_export(export, places, pinned, checkpoints)
    click.echo(json.dumps(_report_json(report)) if as_json else _report_text(report))
    sys.exit(0 if report.whole else 1)


def _verified_ledger(places: Places, pinned: str | None, checkpoints: Path | None) -> Report:
    # The checkpoints first: what is appended meanwhile then only lengthens the tail.
    notes = _notes(checkpoints) if checkpoints else _notes(places.checkpoints, may_miss=True)
    with places.opened() as ledger:
        total = ledger.count()
        keys = _keys(pinned, places.key)
        if not keys and (total or notes):
            raise CannotRead(f"there is no public key at {places.key}: pin your copy with --key")
        with _progress(total) as progress:
            report = verify(ledger.rows(), notes, keys, progress, aside=WORTH_IT)
        faults, remarks = list(report.faults), list(report.notes)
        damage = ledger.damage() if report.whole else None
        if damage:
            faults.append(Fault(f"the table's structure in {ledger.name} was changed: {damage}"))
        missing = ledger.missing_triggers()
        if missing:
            remarks.append(f"the database no longer refuses changes to the log: {', '.join(missing)} missing")
    return _with(report, faults, remarks)


def _verified_export(export: Path, places: Places, pinned: str | None, checkpoints: Path | None) -> Report:
    remarks = []
    with ExportFile(export) as opened:
        keys = _keys(pinned, places.key)
        if not keys:
            keys = opened.keys
            remarks.append("no key is pinned: the export names its own, which proves only that it is consistent")
        notes = [*opened.notes, *(_notes(checkpoints) if checkpoints else ())]
        with _progress(None) as progress:
            report = verify(opened.rows(), notes, keys, progress, aside=WORTH_IT)
    return _with(report, report.faults, [*report.notes, *remarks])


def _with(report: Report, faults: Sequence[Fault], notes: Sequence[str]) -> Report:
    return Report(
        entries=report.entries,
        head=report.head,
        anchored=report.anchored,
        checkpoints=report.checkpoints,
        faults=tuple(faults),
        notes=tuple(notes),
    )


def _keys(pinned: str | None, usual: Path) -> tuple[PublicKey, ...]:
    if pinned is not None:
        return (PublicKey.parse(pinned),) if pinned.startswith("grace/audit+") else read_keys(Path(pinned))
    return read_keys(usual) if usual.exists() else ()


def _notes(path: Path, *, may_miss: bool = False) -> list[tuple[int, str]]:
    return [] if may_miss and not path.exists() else list(read_notes(path))


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[int], None] | None]:
    """A bar on the terminal's error stream; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verifying", total=total)
        yield lambda done: bar.update(task, completed=done)


def _report_json(report: Report) -> dict[str, Any]:
    return {
        "whole": report.whole,
        "entries": report.entries,
        "head": report.head.hex(),
        "anchored": report.anchored,
        "unanchored": report.unanchored,
        "checkpoints": report.checkpoints,
        "faults": [{"entry": fault.seq, "until": fault.until, "why": fault.why} for fault in report.faults],
        "notes": list(report.notes),
    }


def _report_text(report: Report) -> str:
    lines = [f"BROKEN: {fault}" for fault in report.faults]
    lines.append(f"{report.entries} entries as they were written, head sha256 {report.head.hex()}")
    if report.anchored:
        lines.append(f"anchored up to entry {report.anchored}, by {report.checkpoints} signed checkpoints")
    if report.unanchored:
        first, last = report.unanchored
        lines.append(f"not anchored yet: entries {first} to {last}")
    lines.extend(f"note: {note}" for note in report.notes)
    lines.append("the log is whole" if report.whole else "the log is NOT whole")
    return "\n".join(printable(line) for line in lines)


@audit.command("tail")
@click.option("-n", "count", type=click.IntRange(min=0), default=20, show_default=True, help="Entries to begin with.")
@click.option("-f", "follow", is_flag=True, help="Go on with new entries until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@_location
def tail_command(count: int, follow: bool, as_json: bool, config: Path | None, data: Path | None) -> None:
    """Show the last entries."""
    with _told(), _places(config, data).opened() as ledger:
        try:
            for row in _tail(ledger, count, follow):
                click.echo(_entry_json(row) if as_json else _entry_text(row))
        except BrokenSource as error:
            raise click.ClickException(f"the log is damaged, run `grace audit verify`: {error}") from error
        except KeyboardInterrupt:
            return


def _tail(ledger: LedgerFile | LedgerDatabase, count: int, follow: bool) -> Iterator[Row]:
    seen = 0 if count else ledger.count()
    for row in ledger.last(count):
        seen = max(seen, row[0])
        yield row
    while follow:
        ledger.rest()
        time.sleep(FOLLOW_EVERY)
        ledger.refresh()
        for row in ledger.rows(after=seen):
            seen = row[0]
            yield row


def _entry_json(row: Row) -> str:
    """The sealed entry with its links; the columns, where the sealed text cannot be read any more."""
    try:
        said = json.loads(row[6])
    except (ValueError, TypeError, RecursionError):
        said = {"seq": row[0], "unreadable": True}
    return json.dumps({**said, "prev": str(row[7]), "hash": str(row[8])} if isinstance(said, dict) else said)


def _entry_text(row: Row) -> str:
    seq, at, kind, incident_id, run_id, actor, text, _, _ = row
    try:
        moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (TypeError, ValueError, OverflowError, OSError):
        moment = "(no time)"
    try:
        body = json.dumps(json.loads(text)["body"], ensure_ascii=False)
    except (ValueError, TypeError, KeyError, RecursionError):
        body = "(unreadable)"
    about = " ".join(str(name) for name in (incident_id, run_id) if name)
    return printable(f"{seq:>6}  {moment}  {kind}  {actor}  {about}  {body}".rstrip())


def printable(text: str) -> str:
    """Text that cannot steer a terminal: strangers' words stand in the log."""
    return "".join(mark if mark.isprintable() else f"\\u{ord(mark):04x}" for mark in text)


@audit.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_location
def export_command(file: Path, config: Path | None, data: Path | None) -> None:
    """Write the whole log with its checkpoints to FILE, as JSON Lines (`-` for standard output)."""
    places = _places(config, data)
    with _told(), places.opened() as ledger:
        content = lines(ledger.rows(), _notes(places.checkpoints, may_miss=True), _keys(None, places.key))
        try:
            if str(file) == "-":
                sys.stdout.buffer.writelines(content)
            else:
                _write(file, content)
        except BrokenSource as error:
            raise click.ClickException(f"the log is damaged, run `grace audit verify`: {error}") from error


def _write(file: Path, content: Iterator[bytes]) -> None:
    """The file, whole or not at all; readable by its owner only, for the log names people and targets."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.writelines(content)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
