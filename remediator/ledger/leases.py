"""Leases: who works on an incident, or on a run that no incident drives, and until when.

A claim names its owner, ends by itself, and has a fence: a number that every claim raises. Work is done on a `Fenced`
ledger, whose writes all begin by asking whether the claim is still ours: a replica that was stopped for longer than
its lease wakes up, tries to write, and learns that somebody else has taken over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.ledger import incidents, runs, schema
from remediator.ledger.engine import Ledger, Tx
from remediator.model import Incident, Run

T = TypeVar("T")
Claimed = Incident | Run


def keep(tx: Tx, ids: Collection[str], owner: str, lease: float) -> None:
    """Hold whatever of this is still `owner`'s for `lease` seconds from now at least."""
    incidents.keep(tx, ids, owner, lease)
    runs.keep(tx, ids, owner, lease)


def give_up(tx: Tx) -> int:
    """Free every claim; how many there were. Only for the one process that has the ledger alone, at its start."""
    freed = 0
    for table in (schema.incidents, schema.runs):
        freed += tx.execute(sa.update(table).where(table.c.lease_until > 0).values(owner=None, lease_until=0)).rowcount
    return freed


def check(tx: Tx, claimed: Claimed) -> None:
    """Nothing when the claim is still ours. Raises LeaseLost when somebody else has it."""
    if isinstance(claimed, Incident):
        incidents.check(tx, claimed)
    else:
        runs.check(tx, claimed)


class Fenced(Ledger):
    """The ledger as somebody sees it who holds a claim: every write raises LeaseLost once that is gone."""

    def __init__(self, ledger: Ledger, claimed: Claimed) -> None:
        self._ledger = ledger
        self._claimed = claimed
        self.clock = ledger.clock
        self.shared = ledger.shared

    @property
    def writable(self) -> bool:  # type: ignore[override]
        return self._ledger.writable

    @property
    def head(self) -> tuple[int, bytes]:  # type: ignore[override]
        return self._ledger.head

    async def write(self, function: Callable[[Tx], T], *, beside: bool = False) -> T:
        def fenced(tx: Tx) -> T:
            check(tx, self._claimed)
            return function(tx)

        return await self._ledger.write(fenced)

    async def read(self, function: Callable[[Connection], T]) -> T:
        return await self._ledger.read(function)

    async def glance(self, function: Callable[[Connection], T]) -> T:
        return await self._ledger.glance(function)

    async def close(self) -> None:
        """The ledger belongs to whoever opened it."""
