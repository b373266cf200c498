"""One entry of the audit log: canonical JSON (RFC 8785), linked to the entry before it by SHA-256."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remediator.audit.canonical import BIGGEST, canonical

GENESIS = bytes(32)
"""What the first entry follows."""
PREFIX = b"grace/audit/entry/v1\0"
"""Hashed before everything else, so that no hash of anything else can pass for an entry's."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact: what happened, when, by whom.

    Raises ValueError for a `seq` below 1, a time that is not finite, a name that is empty or holds control characters.
    """

    seq: int
    at: float
    """Epoch seconds."""
    kind: str
    incident_id: str | None
    run_id: str | None
    actor: str
    """Who did it: a token's name, or the part of Grace."""
    body: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not 1 <= self.seq <= BIGGEST:
            raise ValueError(f"an entry's number begins at 1, not at {self.seq}")
        if not math.isfinite(self.at):
            raise ValueError(f"an entry's time cannot be {self.at}")
        for what, name in (("kind", self.kind), ("actor", self.actor)):
            if not name:
                raise ValueError(f"an entry needs a {what}")
        for name in (self.kind, self.actor, self.incident_id or "", self.run_id or ""):
            if not name.isprintable():
                raise ValueError(f"{name!r} cannot name anything in the audit log: it holds control characters")

    def canonical(self) -> bytes:
        """The entry as RFC 8785 JSON: the same bytes for the same fact, everywhere."""
        return canonical(
            {
                "seq": self.seq,
                "at": self.at,
                "kind": self.kind,
                "incident_id": self.incident_id,
                "run_id": self.run_id,
                "actor": self.actor,
                "body": self.body,
            }
        )


@dataclass(frozen=True, slots=True)
class Sealed:
    """An entry with its place in the chain."""

    entry: Entry
    prev: bytes
    hash: bytes
    text: str
    """The canonical JSON that the hash covers."""

    def row(self) -> dict[str, Any]:
        """The values of one INSERT into the audit table."""
        entry = self.entry
        return {
            "seq": entry.seq,
            "at": entry.at,
            "kind": entry.kind,
            "incident_id": entry.incident_id,
            "run_id": entry.run_id,
            "actor": entry.actor,
            "entry": self.text,
            "prev": self.prev.hex(),
            "hash": self.hash.hex(),
        }


def seal(prev_hash: bytes, entry: Entry) -> Sealed:
    """The entry, linked to what came before it (`GENESIS` for the first)."""
    canonical = entry.canonical()
    return Sealed(entry, prev_hash, digest(prev_hash, canonical), canonical.decode())


def digest(prev_hash: bytes, canonical: bytes) -> bytes:
    """SHA-256 over prefix, previous hash and canonical entry: 32 bytes."""
    return hashlib.sha256(PREFIX + prev_hash + canonical).digest()
