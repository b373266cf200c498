"""Tokens, by the digest of what people hold; the plain text is nowhere."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.auth.tokens import Identity, NameTaken, Role, TokenRecord
from remediator.errors import Transient
from remediator.ledger.engine import Ledger, LedgerUnavailable, Tx
from remediator.ledger.schema import tokens


class LedgerTokens:
    """The token store of `remediator.auth`, in the ledger. Active digests are kept at hand: every request asks."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._active: dict[str, Identity] | None = None

    async def find(self, digest: str) -> Identity | None:
        """Whose active token has this digest."""
        if self._active is None:
            self._active = await self._ledger.read(_active)
        return self._active.get(digest)

    async def add(self, identity: Identity, digest: str, *, by: str = "grace") -> None:
        """Keep a new token's digest. Raises NameTaken; Transient when it could not be stored."""

        def store(tx: Tx) -> None:
            known = tx.execute(sa.select(tokens.c.revoked_at).where(tokens.c.name == identity.name)).first()
            if known is not None and known[0] is None:
                raise NameTaken(identity.name)
            tx.execute(sa.delete(tokens).where(tokens.c.name == identity.name))
            tx.execute(
                sa.insert(tokens).values(name=identity.name, hash=digest, role=identity.role.value, created_at=tx.now)
            )
            tx.record("token_added", {"name": identity.name, "role": identity.role.value}, actor=by)

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
            rows = connection.execute(sa.select(tokens).order_by(tokens.c.created_at, tokens.c.name))
            return tuple(TokenRecord(row.name, Role(row.role), row.created_at, row.revoked_at) for row in rows)

        return await self._ledger.read(read)

    async def _write(self, store: object) -> object:
        try:
            return await self._ledger.write(store)  # type: ignore[arg-type]
        except LedgerUnavailable as error:
            raise Transient(str(error)) from error
        finally:
            self._active = None


def _active(connection: Connection) -> dict[str, Identity]:
    rows = connection.execute(sa.select(tokens).where(tokens.c.revoked_at.is_(None)))
    return {row.hash: Identity(row.name, Role(row.role)) for row in rows}
