"""Bearer tokens and the roles they carry.

A token is `grace_` and 32 random bytes. Only its SHA-256 is ever stored: with 256 bits of entropy there is nothing to
guess or to stretch, and looking a digest up in an index tells a listener with a stopwatch about digests, never tokens.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

_FORM = re.compile(r"grace_[A-Za-z0-9_-]{43}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", re.ASCII)


class Role(StrEnum):
    """What a token may do. Each includes what is weaker; `alertmanager` stands alone and may only post alerts."""

    ALERTMANAGER = "alertmanager"
    VIEWER = "viewer"
    APPROVER = "approver"
    OPERATOR = "operator"
    ADMIN = "admin"


_LADDER = (Role.VIEWER, Role.APPROVER, Role.OPERATOR, Role.ADMIN)


def allows(role: Role, needed: Role) -> bool:
    """May a holder of `role` do what `needed` is asked for?"""
    if role not in _LADDER or needed not in _LADDER:
        return role is needed
    return _LADDER.index(role) >= _LADDER.index(needed)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking: the name a token was given to, its role, and the groups of targets that it is for."""

    name: str
    role: Role
    groups: tuple[str, ...] = ()
    """Groups of targets (`group` in the inventory, else the target's own name) that it may act on; empty for all."""

    def may(self, needed: Role) -> bool:
        return allows(self.role, needed)

    def covers(self, group: str | None) -> bool:
        """May it act on targets of this group? None is what belongs to no target."""
        return not self.groups or group in self.groups


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One token as lists show it: everything but the token and its digest. Times are epoch seconds."""

    name: str
    role: Role
    created_at: float
    revoked_at: float | None = None
    groups: tuple[str, ...] = ()


class NameTaken(Exception):
    """There is an active token of this name already."""


class TokenStore(Protocol):
    """Where token digests live: one token a name; a revoked one stays listed until its name gets another."""

    async def find(self, digest: str) -> Identity | None:
        """Whose active token has this digest. Raises Transient when the store cannot be asked."""
        ...

    async def add(self, identity: Identity, digest: str) -> None:
        """Keep a new token's digest, durably, also for a name whose token was revoked. Raises NameTaken."""
        ...

    async def revoke(self, name: str) -> bool:
        """End the active token of this name, durably; False when there is none."""
        ...

    async def list(self) -> tuple[TokenRecord, ...]:
        """Every name's token, revoked ones included, oldest first."""
        ...


def new_token() -> str:
    """A fresh token, in plain text: show it once, store only its digest."""
    return f"grace_{secrets.token_urlsafe(32)}"


def digest_of(token: str) -> str:
    """What is stored of a token: its SHA-256, hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


def looks_like_token(text: str) -> bool:
    """Has it the form of a token? What has not is refused without asking the store."""
    return _FORM.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """May a token be given to this name: 1 to 64 letters, digits and `_.@-`, beginning with a letter or digit."""
    return _NAME.fullmatch(text) is not None


FIRST = (Identity("alertmanager", Role.ALERTMANAGER), Identity("admin", Role.ADMIN))
"""Whom the first start gives a token, in `<data_dir>/tokens/<name>`."""


async def first_tokens(data_dir: Path, store: TokenStore) -> tuple[Path, ...]:
    """Token files of FIRST that were written now (mode 0600, the bare token; folder 0700); none on later starts.

    A file that exists is registered when the ledger never heard of its name (a new ledger in an old folder) and is
    otherwise left alone. A file that is missing is written anew and its lost token revoked, except where a person
    revoked that name: then it stays revoked. Raises OSError when the folder cannot be written.
    """
    folder = data_dir / "tokens"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    records = {record.name: record for record in await store.list()}
    written = []
    for identity in FIRST:
        known = records.get(identity.name)
        path = folder / identity.name
        if known is not None and known.revoked_at is not None:
            continue
        if path.exists():
            token = path.read_text().strip()
            if known is None and looks_like_token(token):
                await store.add(identity, digest_of(token))
            continue
        token = new_token()
        if known is not None:
            await store.revoke(identity.name)
        # The ledger first: a file whose token is unknown would be refused for ever, a missing file is written again.
        await store.add(identity, digest_of(token))
        _write_private(path, token)
        written.append(path)
    return tuple(written)


def _write_private(path: Path, token: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token)
        file.flush()
        os.fsync(file.fileno())
