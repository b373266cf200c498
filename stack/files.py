"""Files that `grace up` writes and people may edit: an edited one is kept."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import yaml

MARK = "# Written by grace up and written again at the next start; edit this file and yours is kept. "


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """The whole text or what was there before, never a part. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_ours(path: Path, text: str) -> bool:
    """Writes the text where the file is absent or still as we wrote it; False where a person's file was kept."""
    if path.exists() and not is_ours(path):
        return False
    signed = _signed(text)
    if not path.exists() or path.read_text(encoding="utf-8") != signed:
        write_atomically(path, signed)
    return True


def is_ours(path: Path) -> bool:
    """Was this file written by `write_ours` and not touched since?"""
    head, _, rest = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    return f"{head}\n{rest}" == _signed(rest)


def yaml_text(value: dict[str, Any]) -> str:
    """The value as people would write it: in its own order, blocks rather than braces."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
    return text


def _signed(text: str) -> str:
    return f"{MARK}sha256:{hashlib.sha256(text.encode()).hexdigest()}\n{text}"
