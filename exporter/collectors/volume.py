"""How full a volume is: a filesystem, or a folder with a quota."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from exporter.collectors.base import CollectError


def filesystem_usage(path: Path | str) -> float:
    """Share (0 to 1) of the filesystem at `path` that is used, as `df` shows it. Raises CollectError."""
    try:
        usage = psutil.disk_usage(str(path))
    except OSError as error:
        raise CollectError(f"{path}: {error.strerror}") from error
    usable = usage.used + usage.free
    return usage.used / usable if usable else 0.0


def folder_usage(path: Path, quota_bytes: int) -> float:
    """Bytes in the files below `path`, over its quota; above 1 when the quota is exceeded. Raises CollectError.

    Links are not followed; a file with several names counts once.
    """
    if not path.is_dir():
        raise CollectError(f"{path} is not a folder")
    total = 0
    seen: set[tuple[int, int]] = set()
    for folder, _, names in os.walk(path, onerror=_unreadable):
        for name in names:
            try:
                status = os.lstat(os.path.join(folder, name))
            except FileNotFoundError:
                continue
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            total += status.st_size
    return total / quota_bytes


def _unreadable(error: OSError) -> None:
    # A folder that went away meanwhile holds nothing; one that may not be read would be counted as empty.
    if not isinstance(error, FileNotFoundError):
        raise CollectError(f"{error.filename}: {error.strerror}") from error
