"""The ledger file itself: append-only by its own triggers, read while it is written, and no byte of a row is silent."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from remediator.audit.checkpoint import read_keys, read_notes
from remediator.audit.store import LedgerFile, Unreadable
from remediator.audit.verify import verify
from remediator.cli.audit import audit

PAGE_OF_ROWS = 0x0D
"""First byte of a page of table rows (a leaf of the tree)."""


def grace_audit(*arguments: object):
    return CliRunner().invoke(audit, [str(argument) for argument in arguments])


class TestTriggers:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE audit SET actor = 'nobody' WHERE seq = 7",
            "UPDATE audit SET seq = 99 WHERE seq = 60",
            "DELETE FROM audit WHERE seq = 60",
            "DELETE FROM audit",
            "INSERT OR REPLACE INTO audit SELECT seq, 0, kind, incident_id, run_id, actor, entry, prev, hash"
            " FROM audit WHERE seq = 60",
            "INSERT INTO audit SELECT 62, at, kind, incident_id, run_id, actor, entry, prev, hash"
            " FROM audit WHERE seq = 60",
        ],
    )
    def test_the_database_refuses(self, ledger, statement):
        with (
            closing(sqlite3.connect(ledger.file)) as connection,
            pytest.raises(sqlite3.DatabaseError, match="append-only"),
        ):
            connection.execute(statement)
        assert grace_audit("verify", "--data", ledger.folder).exit_code == 0

    def test_what_is_appended_at_the_end_is_taken(self, ledger):
        with closing(sqlite3.connect(ledger.file)) as connection:
            connection.execute(
                "INSERT INTO audit SELECT 61, at, kind, incident_id, run_id, actor, entry, prev, hash"
                " FROM audit WHERE seq = 60"
            )
            connection.commit()
        result = grace_audit("verify", "--data", ledger.folder)
        assert result.exit_code == 1
        assert "entry 61" in result.output

    def test_that_they_are_gone_is_said(self, ledger):
        with closing(sqlite3.connect(ledger.file)) as connection:
            connection.execute("DROP TRIGGER audit_refuses_update")
            connection.commit()
        result = grace_audit("verify", "--data", ledger.folder)
        assert result.exit_code == 0
        assert "no longer refuses changes" in result.output


class TestReading:
    def test_while_it_is_being_written(self, tmp_path, ledger):
        with closing(sqlite3.connect(ledger.file)) as writer:
            writer.execute("PRAGMA journal_mode=WAL")
            writer.execute("BEGIN IMMEDIATE")
            writer.execute(
                "INSERT INTO audit SELECT 61, at, kind, incident_id, run_id, actor, entry, prev, hash"
                " FROM audit WHERE seq = 60"
            )
            result = grace_audit("verify", "--data", ledger.folder)
            assert result.exit_code == 0
            assert "60 entries" in result.output
            writer.execute("COMMIT")
            with LedgerFile(ledger.file) as reader:
                assert reader.count() == 61

    def test_one_look_is_one_snapshot(self, ledger):
        with closing(sqlite3.connect(ledger.file)) as writer:
            writer.execute("PRAGMA journal_mode=WAL")
            with LedgerFile(ledger.file) as reader:
                assert reader.count() == 60
                writer.execute(
                    "INSERT INTO audit SELECT 61, at, kind, incident_id, run_id, actor, entry, prev, hash"
                    " FROM audit WHERE seq = 60"
                )
                writer.commit()
                assert reader.count() == 60
                reader.rest()
                reader.refresh()
                assert [row[0] for row in reader.rows(after=58)] == [59, 60, 61]

    def test_nothing_is_written_by_reading(self, ledger):
        before = {path: path.read_bytes() for path in ledger.folder.iterdir()}
        assert grace_audit("verify", "--data", ledger.folder).exit_code == 0
        assert {path: path.read_bytes() for path in ledger.folder.iterdir()} == before

    @pytest.mark.parametrize("content", [b"", b"not a database at all, only some text that is long enough" * 20])
    def test_what_is_no_ledger(self, tmp_path, content):
        (tmp_path / "ledger.db").write_bytes(content)
        with pytest.raises(Unreadable):
            LedgerFile(tmp_path / "ledger.db")

    def test_a_folder_or_nothing(self, tmp_path):
        for path in (tmp_path, tmp_path / "absent.db"):
            with pytest.raises(Unreadable, match="no such file"):
                LedgerFile(path)


def cells(file: Path) -> Iterator[tuple[int, int]]:
    """(first byte, last byte + 1) of every audit row in the file, read from the file format itself."""
    data = file.read_bytes()
    size = int.from_bytes(data[16:18], "big")
    for start in range(size, len(data), size):
        page = data[start : start + size]
        if page[0] != PAGE_OF_ROWS:
            continue
        count, begin = int.from_bytes(page[3:5], "big"), int.from_bytes(page[5:7], "big")
        places = sorted(int.from_bytes(page[8 + 2 * n : 10 + 2 * n], "big") for n in range(count))
        assert places[0] == begin
        for place, end in zip(places, [*places[1:], size], strict=True):
            if b'"actor":' in page[place:end] or b"grace" in page[place:end]:
                yield start + place, start + end


def sweep(ledger, places: list[int], chance: random.Random) -> None:
    """Change one byte at each place: the verification exits 1, names an entry, and never with a traceback."""
    original = ledger.file.read_bytes()
    keys, notes = read_keys(ledger.key), list(read_notes(ledger.checkpoints))
    for place in places:
        value = chance.choice([original[place] ^ 1 << chance.randrange(8), chance.randrange(256)])
        # A value that takes no room has type code 0. SQLite reads 10 and 11 as the same, and for the number of a row,
        # which it keeps elsewhere, 8 to 13 too: such a byte says nothing, so changing it changes nothing that is read.
        if value == original[place] or (original[place] == 0 and value in range(8, 14)):
            continue
        changed = bytearray(original)
        changed[place] = value
        ledger.file.write_bytes(changed)
        with LedgerFile(ledger.file) as reader:
            report = verify(reader.rows(), notes, keys)
            if report.whole:
                assert reader.damage(), f"byte {place} became {value} and nobody noticed"
                continue
        assert report.faults[0].seq is not None
    ledger.file.write_bytes(original)


def test_no_changed_byte_of_a_row_is_silent(wide_ledger):
    chance = random.Random(7)
    rows = [place for begin, end in cells(wide_ledger.file) for place in range(begin, end)]
    assert len(rows) > 5_000
    sweep(wide_ledger, chance.sample(rows, 1_500), chance)


@pytest.mark.prove
def test_no_changed_byte_of_any_row_is_silent(wide_ledger):
    chance = random.Random(8)
    rows = [place for begin, end in cells(wide_ledger.file) for place in range(begin, end)]
    for _ in range(3):
        sweep(wide_ledger, rows, chance)


def test_text_on_overflow_pages_counts_too(wide_ledger):
    original = wide_ledger.file.read_bytes()
    place = original.index(b"x" * 3000) + 2000
    wide_ledger.file.write_bytes(original[:place] + b"y" + original[place + 1 :])
    result = grace_audit("verify", "--data", wide_ledger.folder)
    assert result.exit_code == 1
    assert result.output.startswith("BROKEN: entry 9: was changed")


def test_whatever_byte_of_the_file_is_changed_there_is_an_answer(ledger):
    """Free space, page headers, the schema: nothing there is an entry, but nothing there may crash a verification."""
    chance = random.Random(9)
    original = ledger.file.read_bytes()
    for _ in range(250):
        changed = bytearray(original)
        for _ in range(chance.choice([1, 1, 8])):
            changed[chance.randrange(len(original))] = chance.randrange(256)
        ledger.file.write_bytes(changed)
        result = grace_audit("verify", "--data", ledger.folder)
        assert result.exit_code in (0, 1, 2)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_file_cut_short(ledger, kept):
    original = ledger.file.read_bytes()
    ledger.file.write_bytes(original[: int(len(original) * kept)])
    result = grace_audit("verify", "--data", ledger.folder)
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
