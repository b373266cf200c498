"""Reads an audit log back and says whether it is as it was written.

Every entry is hashed again and must follow from the one before it; every column must say what its sealed entry says;
every signed checkpoint must find the hash it vouches for. Memory is constant but for the checkpoints.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from remediator.audit.aside import Aside
from remediator.audit.checkpoint import BadKey, BadNote, Note, PublicKey
from remediator.audit.entry import GENESIS, PREFIX

Row = tuple[Any, ...]
"""(seq, at, kind, incident_id, run_id, actor, entry, prev, hash), as `schema.COLUMNS`; nothing is trusted."""

ROTATED = "audit_key_rotated"
"""Kind of the entry that announces the next signing key: its body's `new` is a verifier key line."""

_MOST_FAULTS = 20


class BrokenSource(Exception):
    """The rows end early because the store itself is damaged; the message says how."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something is not as it was written."""

    why: str
    seq: int | None = None
    """The first entry concerned; None for a checkpoint that is itself broken."""
    until: int | None = None
    """The last entry it may be, where the log cannot tell which of several."""
    entry_before: bool = False
    """It was noticed only at the entry after."""

    def __str__(self) -> str:
        if self.seq is None:
            return self.why
        if self.until is None or self.until == self.seq:
            return f"entry {self.seq}: {self.why}"
        return f"entries {self.seq} to {self.until}: {self.why}"


@dataclass(frozen=True, slots=True)
class Report:
    """What was found."""

    entries: int
    """Entries that are as they were written, from the first on."""
    head: bytes
    """Hash of the last of them."""
    anchored: int
    """The last entry that a signed checkpoint vouches for; 0 for none."""
    checkpoints: int
    """Checkpoints that hold."""
    faults: tuple[Fault, ...]
    """The first broken entry, if there is one, then broken checkpoints."""
    notes: tuple[str, ...] = ()
    """What a reader should know, though nothing is broken."""

    @property
    def whole(self) -> bool:
        return not self.faults

    @property
    def unanchored(self) -> tuple[int, int] | None:
        """First and last entry of the tail that no checkpoint vouches for yet, or None."""
        return None if self.anchored >= self.entries else (self.anchored + 1, self.entries)


def verify(
    rows: Iterable[Row],
    notes: Iterable[tuple[int, str]],
    keys: Sequence[PublicKey],
    progress: Callable[[int], None] | None = None,
    progress_every: int = 10_000,
    *,
    aside: int | None = None,
) -> Report:
    """The report on a log.

    `rows` in the order in which they stand; `notes` are the checkpoints, each with the line it stands on (read them
    *before* the rows, or a log that grows meanwhile looks shorter than they say); `keys` are the pinned ones: without
    any, signatures are not checked and the report says so. `progress` is called with the number of entries so far.
    With `aside`, so many checkpoints or more have their signatures checked by a process of their own.
    """
    anchors = _Anchors(notes, keys)
    if aside is None or not keys or len(anchors.waiting()) < aside:
        return _verified(rows, anchors, progress, progress_every)
    with Aside(anchors.waiting(), keys) as anchors.aside:
        return _verified(rows, anchors, progress, progress_every)


def _verified(
    rows: Iterable[Row], anchors: _Anchors, progress: Callable[[int], None] | None, progress_every: int
) -> Report:
    head, head_text, count = GENESIS, GENESIS.hex(), 0
    broken = anchors.meet(0, head)
    due = anchors.next_size(0)
    sha256 = hashlib.sha256
    previous: Row | None = None
    source = _guarded(rows)
    for row in source:
        if broken:
            break
        seq, at, kind, incident_id, run_id, actor, text, prev, stored = row
        try:
            content = text.encode()
            hashed = sha256(PREFIX + head + content).digest()
            # Reads what the standard decoder reads, four times faster; it is stricter where the two differ.
            said = from_json(content, allow_inf_nan=False)
            right = (
                hashed.hex() == stored
                and prev == head_text
                and said["seq"] == seq == count + 1
                and said["kind"] == kind
                and said["at"] == at
                and said["actor"] == actor
                and said["incident_id"] == incident_id
                and said["run_id"] == run_id
                and len(said) == 7
            )
        except (AttributeError, TypeError, KeyError, ValueError, RecursionError):
            right = False
        if not right:
            broken = _explain(row, previous, head, count)
            if previous is not None and broken.seq == count and broken.entry_before:
                head, count = bytes.fromhex(previous[7]), count - 1
            break
        previous, head, head_text, count = row, hashed, stored, seq
        if kind == ROTATED:
            anchors.announce(seq, said["body"])
        if seq == due:
            broken = anchors.meet(seq, head)
            due = anchors.next_size(seq)
            if broken:
                count, head = anchors.anchored, anchors.head
        if progress is not None and seq % progress_every == 0:
            progress(seq)
    if not broken and source.damage:
        broken = Fault(f"the store is damaged here: {source.damage}", count + 1)
    if progress is not None:
        progress(count)
    return anchors.report(count, head, broken)


class _guarded:
    """Rows, until the source breaks; then `damage` says how."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self.damage = ""

    def __iter__(self) -> Iterator[Row]:
        try:
            yield from self._rows
        except BrokenSource as error:
            self.damage = str(error)


def _explain(row: Row, previous: Row | None, head: bytes, count: int) -> Fault:
    """What is wrong with a row that does not verify, and which entry that means."""
    seq, at, kind, incident_id, run_id, actor, text, prev, stored = row
    due = count + 1
    if type(seq) is not int:
        return Fault("its number is not a number", due)
    if seq != due:
        if _says(text).get("seq") != seq or not _follows(text, prev, stored):
            return Fault(f"was changed: in its place stands something numbered {seq}", due)
        if seq > due:
            return Fault(f"missing; entry {seq} comes next", due, seq - 1)
        return Fault(f"out of order: it stands after entry {count}", seq)
    if not isinstance(text, str):
        return Fault("its text is not text", seq)
    if prev != head.hex():
        if previous is not None and _bytes_of(prev) not in (None, head) and _follows(text, prev, stored):
            # Consistent with a predecessor that is not there: that one was changed, together with its own hash.
            return Fault(f"was replaced: entry {seq} was sealed after another one", count, entry_before=True)
        return Fault("its link to the entry before it was changed", seq)
    if not _follows(text, prev, stored):
        return Fault("was changed: its hash is not that of its content", seq)
    said = _says(text)
    columns = {"seq": seq, "at": at, "kind": kind, "incident_id": incident_id, "run_id": run_id, "actor": actor}
    if said.keys() != columns.keys() | {"body"}:
        return Fault("its text is not an entry", seq)
    differ = [name for name, value in columns.items() if said[name] != value]
    if not differ:
        return Fault("its text is not canonical", seq)
    return Fault(f"column {', '.join(differ)} was changed: it does not say what the sealed entry says", seq)


def _says(text: object) -> dict[str, Any]:
    """What an entry's text says; nothing where it is not the JSON of an object."""
    try:
        said = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _follows(text: object, prev: object, stored: object) -> bool:
    """Whether an entry is what its own link and hash say, whatever it follows."""
    link = _bytes_of(prev)
    try:
        return (
            isinstance(text, str)
            and link is not None
            and hashlib.sha256(PREFIX + link + text.encode()).hexdigest() == stored
        )
    except UnicodeEncodeError:
        return False


def _bytes_of(value: object) -> bytes | None:
    try:
        return bytes.fromhex(value) if isinstance(value, str) else None
    except ValueError:
        return None


class _Anchors:
    """The checkpoints, met one after another as the log passes them."""

    def __init__(self, notes: Iterable[tuple[int, str]], keys: Sequence[PublicKey]) -> None:
        self._keys = {key.key_id: key for key in keys}
        self._signatures_count = bool(keys)
        self._announced: list[tuple[int, PublicKey]] = []
        self._by_size: dict[int, list[tuple[int, Note]]] = {}
        self._faults: list[Fault] = []
        self._notes: list[str] = []
        self._held = 0
        self.aside: Aside | None = None
        """Who checks signatures meanwhile."""
        self.anchored = 0
        """The last entry that a checkpoint which holds vouches for, and its hash."""
        self.head = GENESIS
        seen: set[str] = set()
        unread: list[tuple[int, str]] = []
        for line, text in notes:
            if unread:
                self._unreadable(*unread.pop())
            if text in seen:
                continue
            seen.add(text)
            try:
                note = Note.parse(text)
            except BadNote:
                unread.append((line, text))
                continue
            self._by_size.setdefault(note.checkpoint.size, []).append((line, note))
        if unread:
            self._last_unreadable(*unread.pop())
        self._sizes = sorted(self._by_size, reverse=True)

    def _unreadable(self, line: int, text: str) -> None:
        self._fault(f"checkpoint at line {line}: it was changed, it is no checkpoint any more")

    def _last_unreadable(self, line: int, text: str) -> None:
        if text.endswith("\n") and "\n— " in text:
            self._unreadable(line, text)
        else:
            self._notes.append(
                f"the checkpoint at line {line}, the last, is only half written (a crash); it is ignored"
            )

    def _fault(self, why: str) -> None:
        if len(self._faults) < _MOST_FAULTS:
            self._faults.append(Fault(why))

    def waiting(self) -> list[Note]:
        """The checkpoints that were not met yet, in the order in which they will be."""
        return [note for size in sorted(self._by_size) for _, note in self._by_size[size]]

    def next_size(self, passed: int) -> int:
        """The next number of entries at which a checkpoint stands; -1 for none."""
        while self._sizes and self._sizes[-1] <= passed:
            self._sizes.pop()
        return self._sizes[-1] if self._sizes else -1

    def announce(self, seq: int, body: Any) -> None:
        """A new key, trusted as soon as a trusted checkpoint covers its announcement."""
        try:
            self._announced.append((seq, PublicKey.parse(str(body["new"]))))
        except (BadKey, KeyError, TypeError):
            self._notes.append(f"entry {seq} announces a key that is none; it is ignored")

    def meet(self, size: int, head: bytes) -> Fault | None:
        """Check the checkpoints at this size. A fault when a good signature vouches for another history."""
        for line, note in self._by_size.pop(size, ()):
            if not self._trusted(line, note):
                continue
            if note.checkpoint.head != head:
                return Fault(f"not what the checkpoint at line {line} vouches for", min(self.anchored + 1, size), size)
            self._held += 1
            self.anchored, self.head = size, head
            self._keys |= {key.key_id: key for seq, key in self._announced if seq <= size}
        return None

    def _trusted(self, line: int, note: Note) -> bool:
        if not self._signatures_count or (self.aside is not None and self.aside.signed(note)):
            return True
        if any(note.signed_by(key) for key in self._keys.values()):
            return True
        size = note.checkpoint.size
        self._fault(f"checkpoint at line {line} (entry {size}): not signed by the pinned key, or changed since")
        return False

    def report(self, count: int, head: bytes, broken: Fault | None) -> Report:
        if broken is None:
            broken = self._truncation(count)
        if not self._held and not broken and self._signatures_count:
            self._fault("no checkpoint vouches for this log: they are missing, or all were changed")
        if not self._signatures_count:
            self._notes.append("no key is pinned: signatures were not checked, anybody could have written this log")
        faults = (broken, *self._faults) if broken else tuple(self._faults)
        return Report(count, head, self.anchored, self._held, faults, tuple(self._notes))

    def _truncation(self, count: int) -> Fault | None:
        for size in sorted(self._by_size, reverse=True):
            for line, note in self._by_size[size]:
                if self._trusted(line, note):
                    why = f"missing: the checkpoint at line {line} vouches for {size} entries"
                    if count > self.anchored:
                        why += f"; so nothing vouches for {self.anchored + 1} to {count} either"
                    return Fault(why, count + 1, size)
        return None
