"""Anchors outside the database: checkpoints of the chain's head, signed with Ed25519.

A checkpoint is a signed note as C2SP's `signed-note` and `tlog-checkpoint` write it, so that common tools check it:

    grace/audit                                     origin, and the key's name
    120                                             entries so far
    7Fv0…=                                          base64 of the last entry's hash

    — grace/audit AbCd…=                            base64 of key id and signature

(The third line is the head of a hash chain, not the root of a Merkle tree; the origin says which.)
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from remediator.audit.entry import GENESIS

ORIGIN = "grace/audit"
_ED25519 = b"\x01"
_SIGNATURE = 4 + 64
"""Bytes of a key id and the signature that follows it."""
_NOTE = re.compile(
    r"(?P<body>(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,15})\n(?P<head>[A-Za-z0-9+/]{43}=)\n)"
    r"\n(?P<signatures>(?:— [^ \n]+ [A-Za-z0-9+/]+=*\n)+)"
)


class BadKey(ValueError):
    """A key file that cannot be used; the message says which and why."""


class BadNote(ValueError):
    """Text that is no checkpoint, or one whose signature does not hold."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Who may sign, as a pinned line of text: `name+id+key` (C2SP's verifier key)."""

    name: str
    key: bytes
    """32 bytes."""

    @property
    def key_id(self) -> bytes:
        """4 bytes that a signature begins with."""
        return _key_id(self.name, self.key)

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.key).decode()}"

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """The key of a verifier-key line. Raises BadKey when it is none, or its id does not belong to it."""
        parts = text.strip().split("+", 2)
        try:
            name, key_id, raw = parts[0], bytes.fromhex(parts[1]), base64.b64decode(parts[2], validate=True)
        except (IndexError, ValueError) as error:
            raise BadKey("not a verifier key; it looks like grace/audit+1a2b3c4d+Ab…=") from error
        if len(raw) != 33 or raw[:1] != _ED25519:
            raise BadKey("not an Ed25519 verifier key")
        found = cls(name, raw[1:])
        if found.key_id != key_id:
            raise BadKey(f"the key's id is {found.key_id.hex()}, the line says {key_id.hex()}: it was changed")
        return found


def read_keys(path: Path) -> tuple[PublicKey, ...]:
    """The keys in a file, one to a line: the first, and those it was rotated to since.

    Raises BadKey when it holds none or one of them is broken, OSError when it cannot be read.
    """
    try:
        keys = tuple(PublicKey.parse(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except ValueError as error:
        raise BadKey(f"{path}: {error}") from error
    if not keys:
        raise BadKey(f"{path} holds no key")
    return keys


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What an anchor says: so many entries, and the hash of the last."""

    size: int
    head: bytes

    def body(self) -> str:
        return f"{ORIGIN}\n{self.size}\n{base64.b64encode(self.head).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint as it was written, with its signatures; nothing is checked yet."""

    text: str
    origin: str
    checkpoint: Checkpoint
    signatures: tuple[tuple[str, bytes], ...]
    """Name and key id ‖ signature."""

    @classmethod
    def parse(cls, text: str) -> Note:
        """The note in `text`. Raises BadNote when it is not exactly one checkpoint."""
        found = _NOTE.fullmatch(text)
        if found is None:
            raise BadNote("not a checkpoint")
        signatures = []
        try:
            for line in found["signatures"].splitlines():
                _, name, encoded = line.split(" ")
                signatures.append((name, _decoded(encoded)))
            head = _decoded(found["head"])
        except binascii.Error as error:
            raise BadNote("a checkpoint's base64 is broken") from error
        return cls(text, found["origin"], Checkpoint(int(found["size"]), head), tuple(signatures))

    def signed_by(self, key: PublicKey) -> bool:
        """Whether this key's signature is on it, and holds."""
        if self.origin != key.name:
            return False
        return any(self._holds(key, name, blob) for name, blob in self.signatures)

    def _holds(self, key: PublicKey, name: str, blob: bytes) -> bool:
        if name != key.name or blob[:4] != key.key_id or len(blob) != _SIGNATURE:
            return False
        try:
            _verifier(key.key).verify(self.text.split("\n\n", 1)[0].encode() + b"\n", blob[4:])
        except BadSignatureError:
            return False
        return True


@lru_cache
def _key_id(name: str, key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + key).digest()[:4]


@lru_cache
def _verifier(key: bytes) -> VerifyKey:
    return VerifyKey(key)


def _decoded(text: str) -> bytes:
    """Base64 that is written the one way it can be: a changed padding bit is a changed note."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise binascii.Error("not canonical")
    return raw


class Signer:
    """The private half, kept in a file of mode 0600."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self.public = PublicKey(ORIGIN, bytes(key.verify_key))

    @classmethod
    def generate(cls) -> Signer:
        return cls(SigningKey.generate())

    @classmethod
    def read(cls, path: Path) -> Signer:
        """The key in a file. Raises BadKey when it holds none or others may read it, OSError when it cannot be read."""
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise BadKey(f"{path} may be read by others (mode {mode:o}); run: chmod 600 {path}")
        try:
            raw = base64.b64decode(path.read_text(encoding="ascii").strip(), validate=True)
            return cls(SigningKey(raw))
        except ValueError as error:
            raise BadKey(f"{path} holds no audit key (32 bytes in base64 are expected)") from error

    def write(self, path: Path) -> None:
        """Keep it in a new file of mode 0600. Raises FileExistsError rather than write over a key."""
        raw = base64.b64encode(bytes(self._key)) + b"\n"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())

    def sign(self, checkpoint: Checkpoint) -> str:
        """The checkpoint as a signed note."""
        body = checkpoint.body()
        blob = base64.b64encode(self.public.key_id + self._key.sign(body.encode()).signature).decode()
        return f"{body}\n— {self.public.name} {blob}\n"


def public_path(key: Path) -> Path:
    """Where the public half of a key file lies: beside it, `.pub` instead of its ending."""
    return key.with_suffix(".pub")


def open_signer(path: Path) -> Signer:
    """The key at `path`, made on first use (0600), its public half written beside it.

    Raises BadKey when the file cannot be used, OSError when the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        signer = Signer.read(path)
    else:
        signer = Signer.generate()
        signer.write(path)
    public = public_path(path)
    if not public.exists():
        public.write_text(f"{signer.public}\n", encoding="utf-8")
    elif signer.public not in read_keys(public):
        raise BadKey(f"{path} is not a key that {public} names: put the right one back, or move both away")
    return signer


class Checkpointer:
    """Signs checkpoints and appends them to a file, durably. Raises BadKey or OSError when the file cannot be used.

    A new file begins with the checkpoint of the empty chain, so that a file without any checkpoint is never right.
    """

    def __init__(self, key: Path, path: Path) -> None:
        self.path = path
        self._key = key
        self._lock = threading.Lock()
        self._newest: tuple[Checkpoint, str] | None = None
        """What this object itself wrote last. Not what the file holds: a ledger set back must be anchored again."""
        self._covered = 0
        """Entries that this object vouched for, on the disk."""
        self._writing: asyncio.Task[str] | None = None
        self.signer = open_signer(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._mend()
        if not path.exists() or path.stat().st_size == 0:
            self.write(0, GENESIS)

    @property
    def public(self) -> PublicKey:
        return self.signer.public

    def write(self, seq: int, head: bytes) -> str:
        """A signed note that vouches for these entries, once it is on the disk (fsync). Raises OSError; then it is not.

        May be called from several threads. Where this checkpointer already vouched for as much, that note is given.
        """
        with self._lock:
            if self._newest is not None:
                newest, note = self._newest
                if seq < newest.size or newest == Checkpoint(seq, head):
                    return note
            note = self.signer.sign(Checkpoint(seq, head))
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                _append(handle, f"{note}\n".encode())
            finally:
                os.close(handle)
            self._newest = (Checkpoint(seq, head), note)
            return note

    async def cover(self, head: Callable[[], tuple[int, bytes]]) -> str | None:
        """A note that vouches for everything up to what `head` gives now; None where nobody had to write one.

        Whoever comes while a note is being written shares the next one: a hundred at once cost two. Raises OSError
        when it could not be written.
        """
        wanted, _ = head()
        note = None
        while wanted > self._covered:
            if self._writing is None:
                self._writing = asyncio.create_task(self._cover(head), name="checkpoint")
                note = await asyncio.shield(self._writing)
            else:
                await asyncio.shield(self._writing)
        return note

    async def _cover(self, head: Callable[[], tuple[int, bytes]]) -> str:
        try:
            seq, digest = head()
            note = await asyncio.to_thread(self.write, seq, digest)
            self._covered = max(self._covered, seq)
            return note
        finally:
            self._writing = None

    def succeed(self, successor: Signer) -> None:
        """Sign with `successor` from now on; both files follow. Raises OSError; then the old key goes on signing.

        First record an entry of kind `verify.ROTATED` with the body `{"old": …, "new": str(successor.public)}`, and
        write a checkpoint that covers it with the old key: that is what makes the new one trusted.
        """
        with public_path(self._key).open("a", encoding="utf-8") as file:
            file.write(f"{successor.public}\n")
        fresh = self._key.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        successor.write(fresh)
        fresh.replace(self._key)
        with self._lock:
            self.signer, self._newest, self._covered = successor, None, 0

    def last(self) -> Checkpoint:
        """The newest checkpoint in the file. Raises BadNote when none is whole, OSError when it cannot be read."""
        found = _LAST.search(_tail(self.path))
        if found is None:
            raise BadNote(f"{self.path} does not end in a checkpoint")
        return Note.parse(found["note"].decode()).checkpoint

    def _mend(self) -> None:
        """Cut off a note that a crash left half written: it was never reported as done."""
        tail = _tail(self.path)
        ends = [found.end() for found in _NOTE_END.finditer(tail)]
        torn = len(tail) - (ends[-1] if ends else 0)
        if torn > _LONGEST_NOTE:
            raise BadNote(f"{self.path} is not a file of checkpoints")
        if torn:
            os.truncate(self.path, self.path.stat().st_size - torn)


_LONGEST_NOTE = 1024
_NOTE_END = re.compile(rb"^\xe2\x80\x94 [^\n]+\n\n", re.MULTILINE)
_LAST = re.compile(rb"(?:\A|\n\n)(?P<note>(?:[^\n]+\n){3}\n(?:\xe2\x80\x94 [^\n]+\n)+)\n\Z")


def _tail(path: Path) -> bytes:
    """The end of a checkpoint file, long enough for several notes; empty where there is none."""
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 4 * _LONGEST_NOTE))
        return file.read()


def _append(handle: int, text: bytes) -> None:
    """All of it, on the disk, or nothing of it and an OSError: a full disk must not leave half a note behind."""
    before = os.fstat(handle).st_size
    try:
        if os.write(handle, text) != len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, before)
        raise


def read_notes(path: Path) -> Iterator[tuple[int, str]]:
    """Every note in a checkpoint file, with the line it begins on. Nothing is checked: it is whatever stands there."""
    lines: list[str] = []
    begin, signed = 1, False
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for number, line in enumerate(file, 1):
            if line == "\n" and signed:
                yield begin, "".join(lines)
                lines, signed, begin = [], False, number + 1
                continue
            signed = signed or line.startswith("— ")
            lines.append(line)
    if lines:
        yield begin, "".join(lines)
