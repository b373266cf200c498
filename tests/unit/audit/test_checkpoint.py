"""Signed anchors: the documented form, keys made once, crashes mended, forgeries refused."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from remediator.audit import checkpoint as module
from remediator.audit.checkpoint import (
    BadKey,
    BadNote,
    Checkpoint,
    Checkpointer,
    Note,
    PublicKey,
    Signer,
    open_signer,
    read_keys,
    read_notes,
)
from remediator.audit.entry import GENESIS

HEAD = bytes(range(32))


def texts(path) -> list[str]:
    return [text for _, text in read_notes(path)]


def test_a_note_is_checked_by_hand_as_the_specification_says(signer):
    note = signer.sign(Checkpoint(120, HEAD))
    origin, size, head, empty, signature = note.splitlines()
    assert (origin, size, empty) == ("grace/audit", "120", "")
    assert base64.b64decode(head) == HEAD
    dash, name, blob = signature.split(" ")
    assert (dash, name) == ("—", "grace/audit")
    raw = base64.b64decode(blob)
    assert raw[:4] == hashlib.sha256(b"grace/audit\n\x01" + signer.public.key).digest()[:4]
    Ed25519PublicKey.from_public_bytes(signer.public.key).verify(raw[4:], f"{origin}\n{size}\n{head}\n".encode())


def test_every_changed_byte_of_a_note_is_noticed(signer):
    note = signer.sign(Checkpoint(120, HEAD)).encode()
    for place in range(len(note)):
        for bit in range(8):
            changed = bytearray(note)
            changed[place] ^= 1 << bit
            try:
                assert not Note.parse(changed.decode()).signed_by(signer.public)
            except (BadNote, UnicodeDecodeError):
                pass


def test_another_key_does_not_sign_for_this_one(signer):
    note = Note.parse(Signer.generate().sign(Checkpoint(1, HEAD)))
    assert not note.signed_by(signer.public)


def test_a_key_survives_being_written_down(signer):
    assert PublicKey.parse(f" {signer.public}\n") == signer.public


@pytest.mark.parametrize("line", ["", "grace", "a+b", "grace/audit+00000000+AAAA", "grace/audit+zz+AAAA", "x+00+é"])
def test_what_is_no_key_is_refused(line):
    with pytest.raises(BadKey):
        PublicKey.parse(line)


def test_a_key_whose_id_was_changed_is_refused(signer):
    name, key_id, raw = str(signer.public).split("+", 2)
    with pytest.raises(BadKey, match="it was changed"):
        PublicKey.parse(f"{name}+{'0' * 8 if key_id != '0' * 8 else '1' * 8}+{raw}")


class TestFiles:
    def opened(self, folder) -> Checkpointer:
        return Checkpointer(folder / "audit.key", folder / "checkpoints.log")

    def test_first_use_makes_the_key_and_anchors_the_empty_log(self, tmp_path):
        checkpointer = self.opened(tmp_path)
        assert stat.S_IMODE((tmp_path / "audit.key").stat().st_mode) == 0o600
        assert read_keys(tmp_path / "audit.pub") == (checkpointer.public,)
        assert checkpointer.last() == Checkpoint(0, GENESIS)

    def test_it_appends_and_goes_on_after_a_restart(self, tmp_path):
        first = self.opened(tmp_path)
        note = first.write(7, HEAD)
        again = self.opened(tmp_path)
        assert again.public == first.public
        assert again.last() == Checkpoint(7, HEAD)
        again.write(9, HEAD)
        found = texts(tmp_path / "checkpoints.log")
        assert found[1] == note
        assert [Note.parse(text).checkpoint.size for text in found] == [0, 7, 9]
        assert all(Note.parse(text).signed_by(first.public) for text in found)

    def test_what_is_vouched_for_already_is_not_written_again(self, tmp_path):
        checkpointer = self.opened(tmp_path)
        note = checkpointer.write(7, HEAD)
        assert checkpointer.write(7, HEAD) == note
        assert checkpointer.write(5, GENESIS) == note
        assert len(texts(tmp_path / "checkpoints.log")) == 2
        assert checkpointer.write(7, GENESIS) != note  # a second history is written down, for verification to find

    def test_a_ledger_that_was_set_back_is_anchored_again(self, tmp_path):
        self.opened(tmp_path).write(7, HEAD)
        self.opened(tmp_path).write(3, HEAD)
        assert [Note.parse(text).checkpoint.size for text in texts(tmp_path / "checkpoints.log")] == [0, 7, 3]

    def test_threads_do_not_mix_their_notes(self, tmp_path):
        checkpointer = self.opened(tmp_path)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda seq: checkpointer.write(seq, HEAD), range(1, 80)))
        found = [Note.parse(text) for text in texts(tmp_path / "checkpoints.log")]
        sizes = [note.checkpoint.size for note in found]
        assert sizes == sorted(sizes)
        assert sizes[-1] == 79
        assert all(note.signed_by(checkpointer.public) for note in found)

    def test_what_a_crash_left_half_written_is_cut_off(self, tmp_path):
        whole = self.opened(tmp_path).write(7, HEAD)
        path = tmp_path / "checkpoints.log"
        before = path.read_bytes()
        torn = (whole + "\n").encode()
        for length in range(len(torn)):
            path.write_bytes(before + torn[:length])
            again = self.opened(tmp_path)
            assert path.read_bytes() == before
            assert again.last() == Checkpoint(7, HEAD)

    def test_even_of_the_very_first_note(self, tmp_path):
        path = tmp_path / "checkpoints.log"
        path.write_bytes(b"grace/audit\n0\nAAA")
        assert self.opened(tmp_path).last() == Checkpoint(0, GENESIS)
        assert len(texts(path)) == 1

    def test_a_file_of_something_else_is_left_alone(self, tmp_path):
        path = tmp_path / "checkpoints.log"
        path.write_bytes(b"precious\n" * 500)
        with pytest.raises(BadNote, match="not a file of checkpoints"):
            self.opened(tmp_path)
        assert path.read_bytes() == b"precious\n" * 500

    def test_a_full_disk_leaves_no_half_note(self, tmp_path, monkeypatch):
        checkpointer = self.opened(tmp_path)
        before = (tmp_path / "checkpoints.log").read_bytes()
        really = os.write
        monkeypatch.setattr(module.os, "write", lambda handle, text: really(handle, text[:20]))
        with pytest.raises(OSError, match="No space left"):
            checkpointer.write(7, HEAD)
        assert (tmp_path / "checkpoints.log").read_bytes() == before

    def test_a_key_that_others_may_read_is_refused(self, tmp_path):
        self.opened(tmp_path)
        (tmp_path / "audit.key").chmod(0o644)
        with pytest.raises(BadKey, match="chmod 600"):
            self.opened(tmp_path)

    def test_a_broken_key_is_refused_and_its_content_not_shown(self, tmp_path):
        key = tmp_path / "audit.key"
        key.write_text("c2VjcmV0\n")
        key.chmod(0o600)
        with pytest.raises(BadKey) as caught:
            open_signer(key)
        assert "c2VjcmV0" not in str(caught.value)

    def test_a_key_swapped_behind_our_back_is_refused(self, tmp_path):
        self.opened(tmp_path)
        (tmp_path / "audit.key").unlink()
        with pytest.raises(BadKey, match="is not a key that"):
            self.opened(tmp_path)

    def test_a_successor_signs_from_then_on(self, tmp_path):
        checkpointer = self.opened(tmp_path)
        old, new = checkpointer.public, Signer.generate()
        checkpointer.succeed(new)
        assert Note.parse(checkpointer.write(3, HEAD)).signed_by(new.public)
        assert read_keys(tmp_path / "audit.pub") == (old, new.public)
        assert stat.S_IMODE((tmp_path / "audit.key").stat().st_mode) == 0o600
        assert self.opened(tmp_path).public == new.public
