"""A file of notifications, one JSON object a line, each key at most once."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from heapq import merge
from pathlib import Path
from typing import Any, BinaryIO

_WORD = "Q"
_FEW = 64
"""Keys that are put in their places one by one; of more all are sorted anew."""
_REMEMBERED = 256
"""Bytes before the place read up to, by which the file is known to be the same still."""


class Book:
    """Blocking: call it in a thread; several threads and processes may.

    The file is read once (3 s for a million notifications), and then only what was appended since; all of it again
    where it was replaced or cut. A hash of each key is remembered: 8 bytes, 8 MB for a million. That another key has
    the same one, and is taken for told, is as likely as 1 in 18 million million then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._index = _Index()
        self._lock = threading.Lock()

    def holds(self, key: str) -> bool:
        """Is there a whole line with this key?"""
        try:
            with self._path.open("rb") as file:
                return self._has(file, key)
        except FileNotFoundError:
            return False

    def append(self, key: str, line: Mapping[str, Any]) -> bool:
        """Append it durably; False where a line with this key is there already. Locked against other writers."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if self._has(file, key):
                return False
            # A crash may have left half a line: it must not swallow this one.
            torn = file.seek(0, os.SEEK_END) > 0 and _last_byte(file) != b"\n"
            body = json.dumps({"key": key, **line}, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")
            file.write((b"\n" if torn else b"") + body + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return True

    def _has(self, file: BinaryIO, key: str) -> bool:
        with self._lock:
            self._index.catch_up(file)
            return key in self._index


class _Index:
    """The hashes of the keys in the whole lines of a file, as far as it was read."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._inode = (0, 0)
        self._end = 0
        """Where the first line begins that was not whole yet."""
        self._before = b""
        """The last bytes before that."""
        self._hashes = array(_WORD)

    def __contains__(self, key: str) -> bool:
        number = _number(key)
        at = bisect_left(self._hashes, number)
        return at < len(self._hashes) and self._hashes[at] == number

    def catch_up(self, file: BinaryIO) -> None:
        """Read what was appended, or all of it where the file is another one, or is not what it was."""
        seen = os.fstat(file.fileno())
        file.seek(self._end - len(self._before))
        if (seen.st_dev, seen.st_ino) != self._inode or file.read(len(self._before)) != self._before:
            self._forget()
            self._inode = (seen.st_dev, seen.st_ino)
            file.seek(0)
        try:
            self._add(sorted(_number(key) for key in self._read_on(file)))
        except BaseException:
            self._forget()  # part of it was read: next time all of it is
            raise

    def _read_on(self, file: BinaryIO) -> Iterator[str]:
        for line in file:
            if not line.endswith(b"\n"):
                return
            self._end += len(line)
            self._before = (self._before + line)[-_REMEMBERED:]
            key = _key(line)
            if isinstance(key, str):
                yield key

    def _add(self, numbers: list[int]) -> None:
        if len(numbers) > _FEW:
            self._hashes = array(_WORD, merge(self._hashes, numbers))
            return
        for number in numbers:
            insort(self._hashes, number)


def _number(key: str) -> int:
    """In this process alone."""
    return hash(key) % 2**64


def _key(line: bytes) -> object:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found.get("key") if isinstance(found, dict) else None


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)
