"""Accepting alerts: what arrives while a commit is under way shares the next one.

Bounded by alerts, not by requests, so that memory is bounded too: beyond that, posts are turned away at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from remediator.ledger import alerts
from remediator.ledger.engine import Ledger, LedgerUnavailable

WAITING = 20_000
"""Most alerts that may wait to be stored."""
CROWD = 8
TOGETHER = 1000
"""Most alerts stored by one commit; a post is never divided."""
GATHER = 3
"""Turns of the event loop before a commit begins: requests that are there already come along."""
COMMITS = 3
"""Commits under way at once, on PostgreSQL; on SQLite there is one writer."""


@dataclass(slots=True)
class _Post:
    rows: Sequence[dict[str, Any]]
    stored: asyncio.Future[int]


class Intake:
    """Stores the alerts of many posts together."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: deque[_Post] = deque()
        self._count = 0
        self._at_once = COMMITS if ledger.shared else 1
        self._writing: set[asyncio.Task[None]] = set()

    async def accept(self, rows: Sequence[dict[str, Any]]) -> int:
        """How many of these alerts were new, once all of them are durable. Raises LedgerUnavailable."""
        if self._count and self._count + len(rows) > WAITING:
            raise LedgerUnavailable("too many alerts are waiting to be stored")
        post = _Post(rows, asyncio.get_running_loop().create_future())
        self._waiting.append(post)
        self._count += len(rows)
        self._go_on()
        return await post.stored

    @property
    def crowded(self) -> bool:
        """Do several alerts wait to be stored? What can wait then leaves them their turn."""
        return self._count > CROWD

    def _go_on(self) -> None:
        if self._waiting and len(self._writing) < self._at_once:
            task = asyncio.create_task(self._next(), name="intake")
            self._writing.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._writing.discard(task)
        self._go_on()

    async def _next(self) -> None:
        for _ in range(GATHER):
            await asyncio.sleep(0)
        if not self._waiting:
            return
        batch = [self._waiting.popleft()]
        size = len(batch[0].rows)
        while self._waiting and size + len(self._waiting[0].rows) <= TOGETHER:
            batch.append(self._waiting.popleft())
            size += len(batch[-1].rows)
        self._go_on()
        try:
            await self._store(batch)
        finally:
            self._count -= size

    async def _store(self, batch: list[_Post]) -> None:
        try:
            counts = await self._ledger.write(
                lambda tx: alerts.accept_all(tx, [post.rows for post in batch]), beside=True
            )
        except Exception as error:  # Whatever it is, those who wait for it are told, and nobody else.
            if len(batch) > 1 and not isinstance(error, LedgerUnavailable):
                # One post that cannot be stored must not take the others with it.
                for post in batch:
                    await self._store([post])
                return
            for post in batch:
                if not post.stored.done():
                    post.stored.set_exception(error)
        else:
            for post, count in zip(batch, counts, strict=True):
                if not post.stored.done():
                    post.stored.set_result(count)
