"""Signatures checked by a process of their own: the same report, whatever becomes of that process."""

from __future__ import annotations

import random

import pytest

from remediator.audit import aside
from remediator.audit.chain import Chain
from remediator.audit.checkpoint import Checkpoint, Note, Signer
from remediator.audit.verify import ROTATED, verify


def reports(log):
    """With the process and without."""
    return [verify(log.rows, log.notes, (log.key,), aside=each) for each in (1, None)]


def test_a_whole_log_is_whole(log):
    beside, alone = reports(log)
    assert beside == alone
    assert beside.whole
    assert beside.checkpoints == 7


def test_the_process_is_who_checks(log, monkeypatch):
    def untold(*_: object) -> bool:
        raise AssertionError("checked here too")

    monkeypatch.setattr(Note, "signed_by", untold)
    assert verify(log.rows, log.notes, (log.key,), aside=1).whole


def test_few_checkpoints_are_not_worth_a_process(log, monkeypatch):
    monkeypatch.setattr(aside.subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    assert verify(log.rows, log.notes, (log.key,), aside=8).whole


@pytest.mark.parametrize("seed", range(8))
def test_what_is_wrong_is_found_alike(log, seed):
    chance = random.Random(seed)
    place = chance.randrange(len(log.notes))
    line, text = log.notes[place]
    size = int(text.split("\n")[1])
    head = bytes.fromhex(log.rows[size - 1][8]) if size else bytes(32)
    forged = [
        Signer.generate().sign(Checkpoint(size, head)),
        log.signer.sign(Checkpoint(size, bytes(range(32)))),
        text.replace("— grace/audit A", "— grace/audit B") if "audit A" in text else text[:-9] + "AAAAAA==\n",
        text[:-1],
    ]
    log.notes[place] = (line, forged[seed % len(forged)])
    if seed > 3:
        del log.rows[chance.randrange(1, 50)]
    beside, alone = reports(log)
    assert beside == alone
    assert not beside.whole or seed % 4 == 3


def test_a_key_that_was_rotated_to_is_trusted(signer):
    chain, successor = Chain(), Signer.generate()
    rows, notes = [], []
    for number in range(1, 31):
        kind, body = (ROTATED, {"new": str(successor.public)}) if number == 10 else ("decided", {"n": number})
        sealed = chain.next(kind=kind, at=float(number), actor="grace", body=body)
        rows.append(tuple(sealed.row().values()))
        by = signer if number <= 10 else successor
        notes.append((number, by.sign(Checkpoint(number, sealed.hash))))
    report = verify(rows, notes, (signer.public,), aside=1)
    assert report.whole
    assert report.checkpoints == 30


@pytest.mark.parametrize("run", ["raise SystemExit(1)", "import sys; sys.stdout.write('111')", "no python at all"])
def test_what_the_process_does_not_answer_is_checked_here(log, monkeypatch, run):
    monkeypatch.setattr(aside, "_RUN", run)
    line, _ = log.notes[-1]
    size, head = 60, bytes.fromhex(log.rows[59][8])
    log.notes[-1] = (line, Signer.generate().sign(Checkpoint(size, head)))
    beside, alone = reports(log)
    assert beside == alone
    assert "not signed by the pinned key" in str(beside.faults)


def test_where_no_process_can_be_started_all_is_checked_here(log, monkeypatch):
    monkeypatch.setattr(aside.sys, "executable", "/no/such/python")
    assert verify(log.rows, log.notes, (log.key,), aside=1).whole
