"""Health gates: how the supervisor sees that a child is ready."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from stack.child import Child

PROBE_SECONDS = 2.0
CLOCK_GRAIN = 0.05
"""File times lag the clock by up to one tick of the kernel."""


async def is_open(child: Child, http: aiohttp.ClientSession, started_at: float) -> bool:
    """Are all the gates that the child names open? `started_at` (epoch seconds) tells its files from older ones."""
    if child.ready_file is not None and not _written_since(child.ready_file, started_at - CLOCK_GRAIN):
        return False
    if child.ready_socket is not None and not await _takes_connections(child.ready_socket):
        return False
    return child.ready_url is None or await _answers(child.ready_url, http)


def _written_since(path: Path, since: float) -> bool:
    try:
        return path.stat().st_mtime >= since
    except OSError:
        return False


async def _takes_connections(path: Path) -> bool:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_unix_connection(path)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _answers(url: str, http: aiohttp.ClientSession) -> bool:
    try:
        async with http.get(url, timeout=aiohttp.ClientTimeout(total=PROBE_SECONDS), allow_redirects=False) as answer:
            return answer.status < 400
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
