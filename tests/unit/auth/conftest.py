"""A token store in memory, and a clock that stands still until moved."""

from __future__ import annotations

import dataclasses

import pytest

from remediator.auth.tokens import Identity, NameTaken, Role, TokenRecord, digest_of, new_token
from remediator.errors import Transient


class MemoryStore:
    """TokenStore as the ledger keeps it, without the disk."""

    def __init__(self, clock: StillClock) -> None:
        self._clock = clock
        self.rows: dict[str, tuple[TokenRecord, str]] = {}
        self.away = False
        self.asked = 0

    async def find(self, digest: str) -> Identity | None:
        self.asked += 1
        if self.away:
            raise Transient("the ledger is away")
        for record, known in self.rows.values():
            if known == digest and record.revoked_at is None:
                return Identity(record.name, record.role, record.groups)
        return None

    async def add(self, identity: Identity, digest: str) -> None:
        taken = self.rows.get(identity.name)
        if taken is not None and taken[0].revoked_at is None:
            raise NameTaken(identity.name)
        self.rows[identity.name] = (
            TokenRecord(identity.name, identity.role, self._clock.now(), groups=identity.groups),
            digest,
        )

    async def revoke(self, name: str) -> bool:
        found = self.rows.get(name)
        if found is None or found[0].revoked_at is not None:
            return False
        self.rows[name] = (dataclasses.replace(found[0], revoked_at=self._clock.now()), found[1])
        return True

    async def list(self) -> tuple[TokenRecord, ...]:
        return tuple(record for record, _ in self.rows.values())

    async def issue(self, name: str, role: Role) -> str:
        """A new token for this name, in plain text."""
        token = new_token()
        await self.add(Identity(name, role), digest_of(token))
        return token


class StillClock:
    def __init__(self) -> None:
        self.time = 1_000_000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def store(clock: StillClock) -> MemoryStore:
    return MemoryStore(clock)
