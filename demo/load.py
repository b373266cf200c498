"""A steady light load: one visitor who looks at pages, each of a few calls that follow closely on one another.

`python -m demo.load --url http://127.0.0.1:9780 --log FILE`
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp

CALLS = 3
"""Calls of one page."""
STAGGER = 0.035
"""Seconds between the starts of a page's calls: far more than a healthy call takes, far less than a slow one."""
PERIOD = 0.25
"""Seconds between the starts of pages, while they are answered fast."""
PATIENCE = 0.35
"""A slow page is looked at for this share of the time that it took before the next one is asked for."""
LONGEST_LOG = 1024 * 1024
"""Bytes of the log; then it is begun anew, with one older file kept."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the visitor saw it: when it began, its time in ms, its status (0: no answer)."""

    at: float
    ms: float
    status: int
    page: int


class CallLog:
    """Calls as JSON lines in a file that stays small."""

    def __init__(self, path: Path, longest: int = LONGEST_LOG) -> None:
        self._path = path
        self._longest = longest

    def write(self, calls: Sequence[Call]) -> None:
        """Append these calls."""
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(call)) + "\n" for call in calls)
            length = file.tell()
        if length > self._longest:
            self._path.replace(self._path.with_suffix(".old.jsonl"))


async def call(session: aiohttp.ClientSession, url: str, page: int, delay: float) -> Call:
    """What became of one call that starts `delay` seconds from now."""
    await asyncio.sleep(delay)
    at, began = time.time(), time.perf_counter()
    try:
        async with session.get(f"{url}/api/items/{page % 1000}") as response:
            await response.read()
            status = response.status
    except (aiohttp.ClientError, TimeoutError):
        status = 0
    return Call(at, round((time.perf_counter() - began) * 1000, 2), status, page)


async def visit(session: aiohttp.ClientSession, url: str, log: CallLog) -> None:
    """Look at one page after the other, until cancelled."""
    for page in itertools.count():
        began = time.perf_counter()
        calls = await asyncio.gather(*(call(session, url, page, STAGGER * number) for number in range(CALLS)))
        took = time.perf_counter() - began
        log.write(calls)
        pause = max(PERIOD - took, PATIENCE * took)
        await asyncio.sleep(pause * random.uniform(0.9, 1.1))


async def _main(url: str, log: Path) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        await visit(session, url, CallLog(log))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="demo.load", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--log", type=Path, required=True)
    given = parser.parse_args()
    asyncio.run(_main(given.url, given.log))
