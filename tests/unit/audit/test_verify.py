"""What was changed is found, the first entry is named, and what is not anchored yet is said."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.audit.chain import Chain
from remediator.audit.checkpoint import Checkpoint, Signer
from remediator.audit.entry import GENESIS, digest
from remediator.audit.export import ExportFile, NotAnExport, lines
from remediator.audit.schema import COLUMNS
from remediator.audit.verify import ROTATED, BrokenSource, Report, verify

ENTRIES, EVERY = 65, 10
"""Of the fixture `long_log`."""
ANCHORED = 60


def column(row, name, value):
    return tuple(value if each == name else old for each, old in zip(COLUMNS, row, strict=True))


def resealed(rows, start: int, change: Callable[[dict], None] = lambda said: None):
    """The rows with entry `start` changed and everything from there on sealed anew, as somebody with the code can."""
    head = bytes.fromhex(rows[start - 2][8]) if start > 1 else GENESIS
    fresh = list(rows[: start - 1])
    for row in rows[start - 1 :]:
        said = json.loads(row[6])
        if row[0] == start:
            change(said)
        text = json.dumps(said, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        prev, head = head, digest(head, text.encode())
        fresh.append((*row[:6], text, prev.hex(), head.hex()))
    return fresh


def lie(said: dict) -> None:
    said["body"]["n"] = -1


class TestAWholeLog:
    def test_it_is_whole_and_says_what_is_not_anchored_yet(self, log):
        log.notes.pop()
        report = log.verified()
        assert report.whole
        assert (report.entries, report.anchored, report.unanchored) == (60, 50, (51, 60))
        assert report.checkpoints == 6
        assert report.head.hex() == log.rows[-1][8]

    def test_an_empty_one_too(self, log):
        report = verify([], log.notes[:1], (log.key,))
        assert report.whole
        assert (report.entries, report.unanchored, report.head) == (0, None, GENESIS)

    def test_progress_is_told(self, log):
        seen: list[int] = []
        verify(log.rows, log.notes, (log.key,), seen.append, progress_every=20)
        assert seen == [20, 40, 60, 60]

    def test_without_a_pinned_key_it_says_that_it_proves_little(self, log):
        report = verify(log.rows, log.notes, ())
        assert report.whole
        assert "no key is pinned" in report.notes[0]

    def test_a_half_written_last_checkpoint_is_no_fault(self, log):
        line, text = log.notes[-1]
        log.notes[-1] = (line, text[:-30])
        report = log.verified()
        assert report.whole
        assert report.anchored == 50
        assert "half written" in report.notes[0]


def first(report: Report):
    assert not report.whole
    return report.faults[0]


class TestTampering:
    @pytest.mark.parametrize("name", COLUMNS)
    @pytest.mark.parametrize("value", [None, b"x", "", 0, -1, 1e300, "é", "x" * 64, "7", 2**62])
    def test_every_column_counts(self, log, name, value):
        log.rows[31] = column(log.rows[31], name, value)
        assert first(log.verified()).seq in (32, value)
        assert log.verified().entries == 31

    def test_the_case_of_a_hash_counts(self, log):
        for name in ("prev", "hash"):
            spoken = log.rows[:]
            spoken[29] = column(spoken[29], name, spoken[29][COLUMNS.index(name)].upper())
            assert first(replace(log, rows=spoken).verified()).seq == 30

    def test_text_becoming_bytes_counts(self, log):
        for name in ("kind", "actor", "entry", "prev", "hash"):
            typed = log.rows[:]
            typed[29] = column(typed[29], name, typed[29][COLUMNS.index(name)].encode())
            assert first(replace(log, rows=typed).verified()).seq == 30

    def test_a_replaced_entry_with_its_own_hash_is_named_not_its_successor(self, log):
        log.rows[31] = resealed(log.rows, 32, lie)[31]
        fault = first(log.verified())
        assert (fault.seq, fault.why) == (32, "was replaced: entry 33 was sealed after another one")
        assert log.verified().entries == 31
        assert log.verified().head.hex() == log.rows[30][8]

    def test_a_changed_link_is_named(self, log):
        log.rows[29] = column(log.rows[29], "prev", "00" * 32)
        assert first(log.verified()).why == "its link to the entry before it was changed"

    def test_a_deleted_entry_is_named(self, log):
        del log.rows[29:33]
        fault = first(log.verified())
        assert (fault.seq, fault.until) == (30, 33)
        assert "missing" in str(fault)

    def test_a_rewritten_chain_contradicts_its_anchors(self, log):
        fault = first(replace(log, rows=resealed(log.rows, 34, lie)).verified())
        assert (fault.seq, fault.until) == (31, 40)
        assert "checkpoint at line" in fault.why
        report = replace(log, rows=resealed(log.rows, 34, lie)).verified()
        assert (report.entries, report.head.hex()) == (30, log.rows[29][8])

    def test_a_chain_rewritten_from_the_start_too(self, log):
        assert first(replace(log, rows=resealed(log.rows, 1, lie)).verified()).until == 10

    def test_removing_the_last_anchors_hides_nothing_that_earlier_ones_cover(self, log):
        rewritten = resealed(log.rows, 12, lie)
        for kept in range(3, len(log.notes)):
            assert first(verify(rewritten, log.notes[:kept], (log.key,))).seq == 11
        tail = verify(rewritten, log.notes[:2], (log.key,))
        assert tail.unanchored == (11, 60)

    def test_removing_every_anchor_is_a_fault(self, log):
        assert "no checkpoint vouches" in first(verify(log.rows, [], (log.key,))).why

    def test_a_shortened_log_is_missing_what_was_anchored(self, log):
        fault = first(replace(log, rows=log.rows[:47]).verified())
        assert (fault.seq, fault.until) == (48, 60)

    def test_anchors_signed_anew_by_another_key_are_no_anchors(self, log):
        forger = Signer.generate()
        rows = resealed(log.rows, 34, lie)
        notes = log.notes[:4] + [
            (99, forger.sign(Checkpoint(size, bytes.fromhex(rows[size - 1][8])))) for size in (40, 50, 60)
        ]
        report = verify(rows, notes, (log.key,))
        assert "not signed by the pinned key" in first(report).why
        assert report.anchored == 30

    def test_nor_is_a_forged_anchor_believed_when_it_calls_the_log_short(self, log):
        log.notes.append((99, Signer.generate().sign(Checkpoint(9999, GENESIS))))
        assert first(log.verified()).seq is None

    def test_a_changed_checkpoint_is_named_by_its_line(self, log):
        line, text = log.notes[3]
        log.notes[3] = (line, text.replace("grace", "grave", 1))
        assert str(first(log.verified())) == (
            f"checkpoint at line {line} (entry 30): not signed by the pinned key, or changed since"
        )
        log.notes[3] = (line, "\x00" + text[5:])
        assert str(line) in first(log.verified()).why

    def test_a_damaged_store_is_named_by_the_entry_where_it_breaks(self, log):
        def damaged() -> Iterator[tuple]:
            yield from log.rows[:20]
            raise BrokenSource("database disk image is malformed")

        fault = first(verify(damaged(), log.notes, (log.key,)))
        assert (fault.seq, "malformed" in fault.why) == (21, True)

    def test_text_that_is_sealed_but_no_entry(self, log):
        for text in ("[]", "1", "{}", '{"seq":30}', "[" * 100_000, "not json"):
            prev = bytes.fromhex(log.rows[28][8])
            rows = log.rows[:]
            rows[29] = (*rows[29][:6], text, prev.hex(), digest(prev, text.encode()).hex())
            assert first(replace(log, rows=rows).verified()).seq == 30


class TestRotation:
    def rotated(self, signer, *, covered: bool):
        chain, successor = Chain(), Signer.generate()
        rows, notes = [], [(1, signer.sign(Checkpoint(0, GENESIS)))]

        def add(kind: str, body: dict) -> None:
            rows.append(tuple(chain.next(kind=kind, at=1.0, actor="grace", body=body).row().values()))
            chain.commit()

        for number in range(5):
            add("step", {"n": number})
        add(ROTATED, {"old": str(signer.public), "new": str(successor.public)})
        if covered:
            notes.append((7, signer.sign(Checkpoint(chain.seq, chain.hash))))
        for number in range(5):
            add("step", {"n": number})
        notes.append((13, successor.sign(Checkpoint(chain.seq, chain.hash))))
        return rows, notes

    def test_a_key_announced_under_the_old_one_is_trusted(self, signer):
        report = verify(*self.rotated(signer, covered=True), (signer.public,))
        assert report.whole
        assert report.anchored == 11

    def test_one_that_nothing_trusted_covers_is_not(self, signer):
        report = verify(*self.rotated(signer, covered=False), (signer.public,))
        assert not report.whole

    def test_an_announcement_of_nonsense_is_ignored_aloud(self, signer):
        chain = Chain()
        rows = [tuple(chain.next(kind=ROTATED, at=1.0, actor="x", body={"new": "?"}).row().values())]
        report = verify(rows, [(1, signer.sign(Checkpoint(0, GENESIS)))], (signer.public,))
        assert report.whole
        assert "announces a key that is none" in report.notes[0]


# Random tampering with an export, as somebody who holds the file (and the code, but not the key) would.


@dataclass
class Tampered:
    content: list[bytes]
    entry: int | None
    """The first entry that is not as it was written; None where only checkpoints or the frame were touched."""


class Vandal:
    """Ways to damage an export whose line `HEAD + n` is entry n."""

    def __init__(self, log, chance: random.Random) -> None:
        self.log = log
        self.chance = chance
        self.whole = list(lines(log.rows, log.notes, (log.key,)))
        self.above = 1 + len(log.notes)
        """Lines before the first entry."""

    def line(self, entry: int) -> int:
        return self.above + entry - 1

    def any_entry(self, least: int = 1, most: int = ENTRIES) -> int:
        return self.chance.randint(least, most)

    def flip(self) -> Tampered:
        content, number = self.whole[:], self.chance.randrange(len(self.whole))
        changed = bytearray(content[number])
        changed[self.chance.randrange(len(changed))] ^= 1 << self.chance.randrange(8)
        content[number] = bytes(changed)
        entry = number - self.above + 1
        return Tampered(content, entry if 1 <= entry <= ENTRIES else None)

    def delete(self) -> Tampered:
        entry = self.any_entry()
        return Tampered([line for n, line in enumerate(self.whole) if n != self.line(entry)], entry)

    def insert(self) -> Tampered:
        copied, before = self.any_entry(), self.any_entry()
        content = self.whole[:]
        content.insert(self.line(before), self.whole[self.line(copied)])
        # The copy of an earlier entry is named itself, the copy of a later one by the gap that it makes.
        return Tampered(content, min(copied, before))

    def swap(self) -> Tampered:
        one, two = sorted(self.chance.sample(range(1, ENTRIES + 1), 2))
        content = self.whole[:]
        content[self.line(one)], content[self.line(two)] = content[self.line(two)], content[self.line(one)]
        return Tampered(content, one)

    def truncate(self) -> Tampered:
        """Cut anywhere, even within a line; or cut cleanly, with an end that says so, before the last anchor."""
        if self.chance.random() < 0.5:
            kept = self.any_entry(0, ANCHORED - 1)
            return Tampered(self.framed(self.log.rows[:kept]), kept + 1)
        whole = b"".join(self.whole)
        return Tampered([whole[: self.chance.randrange(len(whole))]], None)

    def splice(self) -> Tampered:
        """The same beginning, then what an older copy had: consistent in itself, sealed with the same code."""
        start = self.any_entry(1, ANCHORED)
        older = resealed(self.log.rows, start, lambda said: said["body"].update(n=self.chance.random()))
        return Tampered(self.framed(older[: self.any_entry(start, ENTRIES)]), start)

    def sign_again(self) -> Tampered:
        start, forger = self.any_entry(1, ANCHORED), Signer.generate()
        rows = resealed(self.log.rows, start, lie)
        notes = [
            (line, text if size < start else forger.sign(Checkpoint(size, bytes.fromhex(rows[size - 1][8]))))
            for size, (line, text) in zip(range(0, ENTRIES, EVERY), self.log.notes, strict=True)
        ]
        return Tampered(list(lines(rows, notes, (forger.public,))), None)

    def rewrite(self) -> Tampered:
        """Everything anew, after the last anchors were taken away; one at least the vandal could not reach."""
        kept = self.chance.randint(2, len(self.log.notes))
        start = self.any_entry(1, (kept - 1) * EVERY)
        return Tampered(list(lines(resealed(self.log.rows, start, lie), self.log.notes[:kept], ())), start)

    def framed(self, rows) -> list[bytes]:
        return list(lines(rows, self.log.notes, (self.log.key,)))


WAYS = (
    Vandal.flip, Vandal.delete, Vandal.insert, Vandal.swap, Vandal.truncate, Vandal.splice, Vandal.sign_again,
    Vandal.rewrite,
)  # fmt: skip


def vandalise(log, path, times: int, seed: int) -> None:
    chance = random.Random(seed)
    vandal = Vandal(log, chance)
    for turn in range(times):
        way = WAYS[turn % len(WAYS)]
        tampered = way(vandal)
        content = b"".join(tampered.content)
        if content == b"".join(vandal.whole):
            continue
        path.write_bytes(content)
        told = f"{way.__name__}, turn {turn} of seed {seed}"
        try:
            with ExportFile(path) as export:
                report = verify(export.rows(), export.notes, (log.key,))
        except NotAnExport:
            assert tampered.entry is None, told
            continue
        assert not report.whole, told
        if tampered.entry is not None:
            fault = report.faults[0]
            assert fault.seq is not None, (told, fault)
            # What lies between the last anchor met and a cut is said to be unproven, and that may be where it begins.
            begin = report.anchored + 1 if "nothing vouches" in fault.why else fault.seq
            assert begin <= tampered.entry <= (fault.until or fault.seq), (told, fault)
            assert report.entries < tampered.entry or "out of order" in fault.why or begin < fault.seq, told


def test_random_tampering_is_found_and_named(long_log, tmp_path):
    vandalise(long_log, tmp_path / "log.jsonl", times=2_400, seed=1)


@pytest.mark.prove
def test_ten_thousand_random_tamperings_are_found_and_named(long_log, tmp_path):
    vandalise(long_log, tmp_path / "log.jsonl", times=10_000, seed=20_26)


def test_what_cannot_be_known_is_said(long_log):
    """The tail after the last anchor can be rewritten by whoever holds the file: so it is reported as not anchored."""
    rows = resealed(long_log.rows, ANCHORED + 2, lie)
    report = verify(rows, long_log.notes, (long_log.key,))
    assert report.whole
    assert report.unanchored == (ANCHORED + 1, ENTRIES)


@given(st.integers(0, 10**9), st.sampled_from(COLUMNS), st.one_of(st.none(), st.integers(), st.text(), st.binary()))
@settings(max_examples=300, deadline=None)
def test_any_value_in_any_column_is_found_and_nothing_crashes(long_log, place, name, value):
    index = place % ENTRIES
    rows = long_log.rows[:]
    if rows[index][COLUMNS.index(name)] == value:
        return
    rows[index] = column(rows[index], name, value)
    report = verify(rows, long_log.notes, (long_log.key,))
    assert not report.whole
    assert report.entries <= index
