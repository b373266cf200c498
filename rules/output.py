"""Generated files on disk: written all or none, compared byte for byte, and those of an earlier catalog removed."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

MARK = "DO NOT EDIT. Generated from the catalog by `grace rules build`"


def write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Put `files` (relative name → text) into `folder`; the paths that changed. Files of its own that it no longer
    generates are removed, strangers' are left alone.

    Either everything is written or nothing: on OSError what was there before is there again.
    """
    changed = [folder / name for name in drift(folder, files)]
    staged: dict[Path, Path] = {}
    before: dict[Path, bytes | None] = {}
    try:
        for path in changed:
            text = files.get(path.relative_to(folder).as_posix())
            if text is not None:
                staged[path] = _staged(path, text)
        for path in changed:
            before[path] = path.read_bytes() if path.exists() else None
            if path in staged:
                os.replace(staged[path], path)
                del staged[path]
            else:
                path.unlink()
    except OSError:
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        raise
    finally:
        for left in staged.values():
            left.unlink(missing_ok=True)
    return changed


def drift(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """What `write` would change: relative name → a unified diff, in the order of names. Empty when nothing."""
    differences = {}
    for name in sorted({*files, *_generated(folder)}):
        path = folder / name
        there = path.read_bytes() if path.is_file() else None
        wanted = files[name].encode() if name in files else None
        if there != wanted:
            differences[name] = "".join(
                difflib.unified_diff(
                    (there or b"").decode(errors="replace").splitlines(keepends=True),
                    (wanted or b"").decode().splitlines(keepends=True),
                    f"{name} (there)",
                    f"{name} (generated)",
                    n=1,
                )
            )
    return differences


def _generated(folder: Path) -> list[str]:
    """Names of the files below `folder` that carry the mark of this generator."""
    found = []
    for path in sorted(folder.rglob("*.yml")):
        if path.is_file():
            with path.open("rb") as file:
                if file.readline().decode(errors="replace").startswith(f"# {MARK}"):
                    found.append(path.relative_to(folder).as_posix())
    return found


def _staged(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    os.chmod(name, 0o644)
    return Path(name)
