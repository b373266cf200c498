"""One `grace up` per data folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from stack.problem import Unusable

LOCK = "up.lock"


@contextlib.contextmanager
def data_lock(data: Path) -> Iterator[None]:
    """Holds `<data>/up.lock`, which names our pid, and removes it at the end. Raises Unusable where it is held."""
    path = data / LOCK
    handle = _locked(path)
    try:
        os.truncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        # Removed while it is held: who opened it meanwhile sees, once locked, that it is not the one on disk.
        path.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path) -> int:
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise Unusable(f"{path.parent} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(handle, 20).decode().strip()
            os.close(handle)
            who = f"grace up (pid {holder})" if holder else "another grace up"
            raise Unusable(f"{who} is already running on {path.parent}; stop it, or give another --data") from error
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(handle).st_ino:
                return handle
        os.close(handle)
