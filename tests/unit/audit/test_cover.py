"""One checkpoint for all who need one at the same time."""

from __future__ import annotations

import asyncio
import errno
import threading
from pathlib import Path

import pytest

from remediator.audit import checkpoint
from remediator.audit.checkpoint import Checkpointer, Note, Signer, read_notes


class Log:
    """A chain's end that grows."""

    def __init__(self, seq: int = 5) -> None:
        self.seq = seq

    def head(self) -> tuple[int, bytes]:
        return self.seq, self.seq.to_bytes(32)


@pytest.fixture
def pen(tmp_path: Path) -> Checkpointer:
    return Checkpointer(tmp_path / "audit.key", tmp_path / "checkpoints.log")


def sizes(pen: Checkpointer) -> list[int]:
    return [Note.parse(note).checkpoint.size for _, note in read_notes(pen.path)]


async def test_a_hundred_at_once_share_one(pen: Checkpointer) -> None:
    log = Log()
    notes = await asyncio.gather(*(pen.cover(log.head) for _ in range(100)))
    assert sizes(pen) == [0, 5]
    assert [note is not None for note in notes].count(True) == 1, "one of them has written it"
    assert await pen.cover(log.head) is None
    assert sizes(pen) == [0, 5]


async def test_an_empty_log_needs_none(pen: Checkpointer) -> None:
    assert await pen.cover(Log(0).head) is None
    assert sizes(pen) == [0]


async def test_who_comes_while_one_is_written_waits_for_one_that_covers_it(
    pen: Checkpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, begun, go_on = Log(), asyncio.Event(), threading.Event()
    loop, write = asyncio.get_running_loop(), pen.write

    def slowly(seq: int, head: bytes) -> str:
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(10)
        return write(seq, head)

    monkeypatch.setattr(pen, "write", slowly)
    first = asyncio.create_task(pen.cover(log.head))
    await begun.wait()
    log.seq = 9
    late = [asyncio.create_task(pen.cover(log.head)) for _ in range(3)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, *late)
    assert sizes(pen) == [0, 5, 9]


async def test_who_is_cancelled_takes_the_checkpoint_from_nobody(pen: Checkpointer) -> None:
    log = Log()
    first = asyncio.create_task(pen.cover(log.head))
    second = asyncio.create_task(pen.cover(log.head))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert sizes(pen) == [0, 5]


async def test_nobody_is_told_that_it_was_written_where_it_was_not(
    pen: Checkpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int, text: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    log = Log()
    with monkeypatch.context() as broken:
        broken.setattr(checkpoint, "_append", full)
        told = await asyncio.gather(*(pen.cover(log.head) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in told] == [OSError] * 3
    await pen.cover(log.head)
    assert sizes(pen) == [0, 5]


async def test_a_new_key_vouches_anew(pen: Checkpointer) -> None:
    log = Log()
    await pen.cover(log.head)
    pen.succeed(Signer.generate())
    assert await pen.cover(log.head) is not None
    assert sizes(pen) == [0, 5, 5]
