"""A file of notifications, one JSON object a line, each key at most once."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Book:
    """Blocking: call it in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def holds(self, key: str) -> bool:
        """Is there a whole line with this key?"""
        try:
            with self._path.open("rb") as file:
                return _has(file, key)
        except FileNotFoundError:
            return False

    def append(self, key: str, line: Mapping[str, Any]) -> bool:
        """Append it durably; False where a line with this key is there already. Locked against other writers."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _has(file, key):
                return False
            # A crash may have left half a line: it must not swallow this one.
            torn = file.seek(0, os.SEEK_END) > 0 and _last_byte(file) != b"\n"
            body = json.dumps({"key": key, **line}, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")
            file.write((b"\n" if torn else b"") + body + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return True


def _has(file: Any, key: str) -> bool:
    needle = json.dumps(key, ensure_ascii=False).encode("utf-8", "replace")
    file.seek(0)
    return any(needle in line and _key(line) == key for line in file)


def _key(line: bytes) -> object:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found.get("key") if isinstance(found, dict) and line.endswith(b"\n") else None


def _last_byte(file: Any) -> bytes:
    file.seek(-1, os.SEEK_END)
    found: bytes = file.read(1)
    return found
