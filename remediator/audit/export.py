"""The audit log as JSON Lines, to be kept and verified elsewhere.

    {"grace_audit_export":1,"keys":["grace/audit+…"]}         the keys that signed: for information, pin your own copy
    {"checkpoint":"grace/audit\\n120\\n…"}                       every checkpoint, before the entries
    {"entry":{…},"prev":"…","hash":"…"}                       every entry, its canonical JSON byte for byte
    {"end":120}                                               so that a file cut short is noticed

Entries are written and read as bytes: the hash covers exactly what stands between `{"entry":` and `,"prev":`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json

from remediator.audit.checkpoint import BadKey, PublicKey
from remediator.audit.verify import BrokenSource, Row

_OPEN = b'{"entry":'
_PREV, _HASH, _CLOSE = b',"prev":"', b'","hash":"', b'"}\n'
_TAIL = len(_PREV) + 64 + len(_HASH) + 64 + len(_CLOSE)
_LONGEST_LINE = 64 * 1024 * 1024


class NotAnExport(ValueError):
    """The file is no export; the message says why."""


def lines(rows: Iterable[Row], notes: Iterable[tuple[int, str]], keys: Sequence[PublicKey]) -> Iterator[bytes]:
    """The export, line by line. What is broken is exported as it stands: `verify` says so, here and there alike."""
    yield _line({"grace_audit_export": 1, "keys": [str(key) for key in keys]})
    for _, note in notes:
        yield _line({"checkpoint": note})
    last = 0
    for row in rows:
        last, text, prev, stored = row[0], row[6], row[7], row[8]
        yield b"".join((_OPEN, _bytes(text), _PREV, _bytes(prev), _HASH, _bytes(stored), _CLOSE))
    yield _line({"end": last})


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class ExportFile:
    """An export, read once from front to back: first the checkpoints, then the entries.

    Raises NotAnExport where it does not begin like one, OSError where it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("rb")
        self._number = 0
        self._next = b""
        try:
            head = json.loads(self._read())
            if head["grace_audit_export"] != 1:
                raise ValueError("another version")
            self.keys = tuple(PublicKey.parse(str(key)) for key in head["keys"])
        except (ValueError, KeyError, TypeError, RecursionError, BadKey) as error:
            self._file.close()
            raise NotAnExport(f"{path} is no export of an audit log (its first line says otherwise)") from error
        self.notes = tuple(self._checkpoints())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> ExportFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> bytes:
        self._number += 1
        return self._file.readline(_LONGEST_LINE)

    def _checkpoints(self) -> Iterator[tuple[int, str]]:
        while (line := self._read()).startswith(b'{"checkpoint":'):
            try:
                value = json.loads(line)
                note = value["checkpoint"]
                plain = line == _line({"checkpoint": note})
            except (ValueError, KeyError, TypeError, RecursionError):
                note, plain = "", False
            # A note that does not stand there as it was written is handed on as something that is no note.
            yield self._number, note if plain and isinstance(note, str) else "\n— broken\n"
        self._next = line

    def rows(self) -> Iterator[Row]:
        """Every entry. Raises BrokenSource at the first line that is none."""
        line, last = self._next, 0
        while line.startswith(_OPEN):
            row = _row(line)
            if row is None:
                raise BrokenSource(f"line {self._number} is not an entry as it was exported")
            last = row[0]
            yield row
            line = self._read()
        if line != _line({"end": last}):
            raise BrokenSource(f"line {self._number} should be an entry or the end; the file was cut short or changed")
        if self._read():
            raise BrokenSource(f"line {self._number} stands after the end")


def _row(line: bytes) -> Row | None:
    """The row in a line, its columns taken from the entry itself; None where the line is not exactly an entry."""
    tail = line[-_TAIL:]
    prev_end = len(_PREV) + 64
    hash_end = prev_end + len(_HASH) + 64
    shaped = tail.startswith(_PREV) and tail[prev_end:].startswith(_HASH) and tail[hash_end:] == _CLOSE
    if not shaped:
        return None
    try:
        content = line[len(_OPEN) : -_TAIL]
        text = content.decode()
        said = from_json(content, allow_inf_nan=False)
        columns = (said["seq"], said["at"], said["kind"], said["incident_id"], said["run_id"], said["actor"])
        return (*columns, text, tail[len(_PREV) : prev_end].decode(), tail[hash_end - 64 : hash_end].decode())
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
