"""What a child prints, kept in a file of bounded size."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from pathlib import Path

LOG_BYTES = 5_000_000
"""A full log moves to NAME.log.1, so a child's logs take at most twice this."""


class BoundedLog:
    """Appends to a file, which is moved aside when it is full. A full disk costs lines, never the child."""

    def __init__(self, path: Path, limit: int = LOG_BYTES) -> None:
        self.path = path
        self._limit = limit
        self._tail: deque[str] = deque(maxlen=20)
        self.lost = 0
        """Bytes that the disk did not take."""

    async def follow(self, pipe: int) -> None:
        """Copies what comes out of the pipe until all its writers have closed it; closes it at the end."""
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(pipe, "rb", buffering=0)
        )
        try:
            while chunk := await stream.read(65536):
                self._tail.extend(line for line in chunk.decode("utf-8", "replace").splitlines() if line.strip())
                self._write(chunk)
        finally:
            transport.close()

    def last_line(self) -> str:
        """The last line printed, shortened to fit one line of a terminal; empty where nothing was."""
        return self._tail[-1].strip()[:300] if self._tail else ""

    def _write(self, chunk: bytes) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and self.path.stat().st_size + len(chunk) > self._limit:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
            with self.path.open("ab") as file:
                file.write(chunk)
        except OSError:
            self.lost += len(chunk)  # a full disk must not stop what we only listen to
