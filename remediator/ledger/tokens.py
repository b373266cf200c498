"""Tokens, by the digest of what people hold; the plain text is nowhere."""

from __future__ import annotations

import asyncio
import time

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.auth.tokens import Identity, NameTaken, Role, TokenRecord
from remediator.errors import Transient
from remediator.ledger.engine import Ledger, LedgerUnavailable, Tx
from remediator.ledger.prepared import Prepared
from remediator.ledger.schema import tokens

_ALL = Prepared(lambda: sa.select(tokens).order_by(tokens.c.created_at, tokens.c.name))
_ACTIVE = Prepared(lambda: sa.select(tokens).where(tokens.c.revoked_at.is_(None)))

FRESH = 1.0
"""Seconds after which a token that another replica revoked no longer works here."""


class LedgerTokens:
    """The token store of `remediator.auth`, in the ledger. Active digests are kept at hand: every request asks.

    Where other replicas may add and revoke tokens too, what is at hand is `FRESH` seconds old at most.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._active: dict[str, Identity] | None = None
        self._read_at = 0.0
        self._reading = asyncio.Lock()
        self._changes = 0

    async def find(self, digest: str) -> Identity | None:
        """Whose active token has this digest. Raises LedgerUnavailable when the ledger cannot say."""
        async with self._reading:
            active = self._active
            # One that is not known may just have been added elsewhere.
            limit = FRESH if active is not None and digest in active else FRESH / 10
            if active is None or (self._ledger.shared and time.monotonic() - self._read_at > limit):
                began, changes = time.monotonic(), self._changes
                active = await self._ledger.glance(_active)
                # What was read while a token was being changed may be of before that.
                self._active = active if changes == self._changes else None
                self._read_at = began
        return active.get(digest)

    async def add(self, identity: Identity, digest: str, *, by: str = "grace") -> None:
        """Keep a new token's digest. Raises NameTaken; Transient when it could not be stored."""

        def store(tx: Tx) -> None:
            known = tx.execute(sa.select(tokens.c.revoked_at).where(tokens.c.name == identity.name)).first()
            if known is not None and known[0] is None:
                raise NameTaken(identity.name)
            tx.execute(sa.delete(tokens).where(tokens.c.name == identity.name))
            tx.execute(
                sa.insert(tokens).values(
                    name=identity.name,
                    hash=digest,
                    role=identity.role.value,
                    created_at=tx.now,
                    target_groups=list(identity.groups),
                )
            )
            body = {"name": identity.name, "role": identity.role.value, "groups": list(identity.groups)}
            tx.record("token_added", body, actor=by)

        await self._write(store)

    async def revoke(self, name: str, *, by: str = "grace") -> bool:
        """End the active token of this name; False when there is none."""

        def store(tx: Tx) -> bool:
            ended = tx.execute(
                sa.update(tokens).where(tokens.c.name == name, tokens.c.revoked_at.is_(None)).values(revoked_at=tx.now)
            ).rowcount
            if ended:
                tx.record("token_revoked", {"name": name}, actor=by)
            return bool(ended)

        return bool(await self._write(store))

    async def list(self) -> tuple[TokenRecord, ...]:
        """Every name's token, revoked ones included, oldest first."""

        def read(connection: Connection) -> tuple[TokenRecord, ...]:
            return tuple(
                TokenRecord(row.name, Role(row.role), row.created_at, row.revoked_at, tuple(row.target_groups))
                for row in _ALL.on(connection)
            )

        return await self._ledger.glance(read)

    async def _write(self, store: object) -> object:
        try:
            return await self._ledger.write(store)  # type: ignore[arg-type]
        except LedgerUnavailable as error:
            raise Transient(str(error)) from error
        finally:
            self._active = None
            self._changes += 1


def _active(connection: Connection) -> dict[str, Identity]:
    found = _ACTIVE.on(connection)
    return {row.hash: Identity(row.name, Role(row.role), tuple(row.target_groups)) for row in found}
