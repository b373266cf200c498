"""Generated files on disk: what differs from what is wanted, and writing it."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from grafana.boards.frame import MARK as BOARD_MARK
from grafana.provisioning import MARK as FILE_MARK


def drift(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """What `write` would change: relative name → a unified diff, by name. Empty when nothing.

    Files of ours that are no longer generated count too; strangers' files are left alone.
    """
    differences = {}
    for name in sorted({*files, *_ours(folder)}):
        path = folder / name
        there = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
        if there != files.get(name):
            lines = difflib.unified_diff(
                (there or "").splitlines(keepends=True),
                files.get(name, "").splitlines(keepends=True),
                f"{name} (there)",
                f"{name} (generated)",
                n=1,
            )
            differences[name] = "".join(lines)
    return differences


def write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Put `files` (relative name → text) into `folder`, and remove ours that are not among them; what changed.

    Each file is replaced whole: a Grafana that looks in between never sees half of one. Raises OSError.
    """
    changed = []
    for name in drift(folder, files):
        path = folder / name
        if name in files:
            _replace(path, files[name])
        else:
            path.unlink()
        changed.append(path)
    return changed


def _ours(folder: Path) -> list[str]:
    found = []
    for pattern, mark in (("dashboards/*.json", BOARD_MARK), ("provisioning/*/*.yml", FILE_MARK)):
        for path in sorted(folder.glob(pattern)):
            if mark in path.read_text(encoding="utf-8", errors="replace"):
                found.append(path.relative_to(folder).as_posix())
    return found


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, staged = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(staged, 0o644)
        os.replace(staged, path)
    except OSError:
        Path(staged).unlink(missing_ok=True)
        raise
