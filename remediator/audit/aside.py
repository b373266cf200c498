"""Signatures checked by a process of their own, while this one reads the log: two cores are faster than one.

Worth its start (a tenth of a second) from some thousand checkpoints on. Whatever it does not answer, because it could
not be started or ended early, the caller checks itself: nothing is taken for good that was not checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from remediator.audit.checkpoint import BadNote, Note, PublicKey

WORTH_IT = 2000
"""Checkpoints from which on a process of their own is worth its start."""
_TOGETHER = 64
"""Answers given at once."""
_ROOT = str(Path(__file__).parents[2])
_RUN = "import sys; sys.path.insert(0, sys.argv[1]); from remediator.audit.aside import check; check(sys.argv[2:])"
_SIGNED, _NOT_SIGNED = b"1", b"0"


class Aside:
    """Whether the notes, in this order, are signed by one of the keys; use it as a context."""

    def __init__(self, notes: Sequence[Note], keys: Iterable[PublicKey]) -> None:
        self._places = {id(note): place for place, note in enumerate(notes)}
        self._notes = notes
        self._answers = bytearray()
        self._process: subprocess.Popen[bytes] | None = None
        self._keys = [str(key) for key in keys]
        self._sender = threading.Thread(target=self._send, name="signatures", daemon=True)

    def __enter__(self) -> Aside:
        command = [sys.executable, "-P", "-c", _RUN, _ROOT, *self._keys]
        with suppress(OSError):  # No process to be had: the caller checks all of them itself.
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._sender.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is not None:
            process.kill()
            process.wait()
            self._sender.join()
            self._output(process).close()

    def signed(self, note: Note) -> bool:
        """True where one of the keys signed it. False where none did, or where that has not been found out."""
        place = self._places.get(id(note))
        if self._process is None or place is None:
            return False
        while len(self._answers) <= place:
            answers = self._output(self._process).read1(65536)  # type: ignore[attr-defined]
            if not answers:
                return False
            self._answers += answers
        return self._answers[place : place + 1] == _SIGNED

    def _send(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        # It may have been ended meanwhile, when the log turned out to be broken.
        with suppress(OSError), self._process.stdin as file:
            for begin in range(0, len(self._notes), 256):
                lines = [json.dumps(note.text) for note in self._notes[begin : begin + 256]]
                file.write(("\n".join(lines) + "\n").encode())

    @staticmethod
    def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
        assert process.stdout is not None
        return process.stdout


def check(keys: Sequence[str]) -> None:
    """What the process does: a note on each line of standard input, one character of answer for each."""
    trusted = [PublicKey.parse(key) for key in keys]
    for number, line in enumerate(sys.stdin.buffer, 1):
        sys.stdout.buffer.write(_SIGNED if _signed(json.loads(line), trusted) else _NOT_SIGNED)
        if number % _TOGETHER == 0:
            sys.stdout.buffer.flush()


def _signed(text: str, keys: Sequence[PublicKey]) -> bool:
    try:
        note = Note.parse(text)
    except BadNote:
        return False
    return any(note.signed_by(key) for key in keys)
