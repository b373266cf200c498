"""Who is signed in: a signed cookie that stands for a token, for as long as that token is not revoked."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remediator.auth.tokens import Identity
from remediator.clock import Clock

if TYPE_CHECKING:
    from itsdangerous import URLSafeSerializer

LIFETIME = 12 * 3600.0
"""Seconds after which a person signs in again."""
COOKIE = "grace_session"


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says: which token it stands for (by its digest, which is no credential), and what forms repeat."""

    digest: str
    csrf: str
    began: float
    """Epoch seconds."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whom a request of the page comes from."""

    identity: Identity
    session: Session


class Sessions:
    """Seals and opens cookies. Nothing is stored: a restart signs nobody out, replicas that share the secret agree."""

    def __init__(self, secret_file: Path, clock: Clock) -> None:
        """Raises OSError where the secret can be neither read nor, the first time, written."""
        self._secret = _secret(secret_file)
        self._clock = clock

    @cached_property
    def _serializer(self) -> URLSafeSerializer:
        from itsdangerous import URLSafeSerializer  # where nobody opens the page, it is not needed

        return URLSafeSerializer(self._secret, salt="grace page session")

    def seal(self, digest: str) -> str:
        """A cookie for the holder of the token with this digest."""
        began = self._clock.now()
        return str(self._serializer.dumps({"d": digest, "c": secrets.token_urlsafe(16), "t": began}))

    def opened(self, cookie: str | None) -> Session | None:
        """What the cookie says; None for one that is not ours, was changed, or is too old."""
        from itsdangerous import BadData

        if not cookie:
            return None
        try:
            body: Any = self._serializer.loads(cookie)
            found = Session(str(body["d"]), str(body["c"]), float(body["t"]))
        except (BadData, LookupError, TypeError, ValueError):
            return None
        age = self._clock.now() - found.began
        return found if -60.0 <= age <= LIFETIME else None


def _secret(path: Path) -> bytes:
    """The secret in the file; made at the first use, readable by nobody else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_urlsafe(48).encode())
        file.flush()
        os.fsync(file.fileno())
    return _read(path)


def _read(path: Path) -> bytes:
    found = path.read_bytes().strip()
    if len(found) < 32:
        raise OSError(f"{path} must hold at least 32 bytes: delete it, and a new one is made")
    return found
