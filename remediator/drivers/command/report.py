"""Where a job's report lies, and how one can tell that it is whole.

<run>-<step>.md           the report; it counts once no `.running` lies beside it
<run>-<step>.md.running   held locked by the job's processes for as long as one of them lives
<run>-<step>.md.log       what the job printed, bounded
<run>-<step>.md.failed    what a job left that did not end well
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remediator.errors import Permanent

_LARGEST = 64 * 1024 * 1024
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")


@dataclass(frozen=True, slots=True)
class Report:
    """The files of one step's job."""

    path: Path

    @classmethod
    def of(cls, reports: Path, run_id: str, step: int, suffix: str) -> Report:
        """Raises Permanent for a run's id that is none: a path is never built from strangers' text."""
        if not _ID.match(run_id):
            raise Permanent(f"{run_id[:80]!r} is not a run's id")
        return cls(reports.resolve() / f"{run_id}-{step}{suffix}")

    @property
    def marker(self) -> Path:
        return self._beside(".running")

    @property
    def log(self) -> Path:
        return self._beside(".log")

    @property
    def failed(self) -> Path:
        return self._beside(".failed")

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)

    def whole(self) -> bool:
        """There is a report, it is not empty, and its job ended well."""
        return self.size() > 0 and not self.marker.exists()

    def size(self) -> int:
        """Bytes; 0 where there is none. A link or a folder in its place is none."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return 0
        return found.st_size if self.path.is_file() and not self.path.is_symlink() else 0

    def as_state(self) -> Mapping[str, Any]:
        return {"report": str(self.path) if self.whole() else None, "bytes": self.size() if self.whole() else 0}

    def claim(self) -> int | None:
        """A locked descriptor of the marker for the job to inherit, or None while another attempt's job still runs."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        marker = os.open(self.marker, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(marker)
            return None
        return marker

    def rewrite(self, change: Callable[[bytes], bytes]) -> None:
        """Replace its content, whole or not at all; untouched where nothing changes. Raises ValueError above 64 MiB."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError(f"a report has {_LARGEST} bytes at most")
        if (changed := change(content)) != content:
            self._replace(changed)

    def write(self, content: bytes) -> None:
        """The whole report at once, by whoever has it: it counts from now on, also after a power cut."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._replace(content)
        self.succeed()

    def _replace(self, content: bytes) -> None:
        draft = self._beside(".draft")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)

    def succeed(self) -> None:
        """From now on the report counts, also after a power cut."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.marker.unlink(missing_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def fail(self, hide: Callable[[bytes], bytes]) -> None:
        """Set aside what the job left, changed by `hide`; what cannot be changed goes. Another attempt may begin."""
        if self.path.exists():
            try:
                self.rewrite(hide)
                self.path.replace(self.failed)
            except (OSError, ValueError):
                self.path.unlink()
        self.marker.unlink(missing_ok=True)
