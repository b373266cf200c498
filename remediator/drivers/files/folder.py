"""Finding and deleting expired files below one folder, by descriptors only.

Every folder is opened by name inside its parent's descriptor without following a link, and compared with the device
of the top folder. So nobody who can write below it can lead a deletion somewhere else, not even between the look and
the deletion: the name is removed from the very folder that was looked into.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from remediator.errors import Permanent, Refused, Transient

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Expired:
    """A regular file older than its folder allows."""

    name: str
    """Relative to the folder, parts separated by `/`."""
    inode: int
    modified: float
    size: int
    """Bytes that go with it: 0 where it has another hard link."""


def expired(top: Path, pattern: str, before: float, recursive: bool) -> Iterator[Expired]:
    """Regular files below `top` whose name matches and that were last modified before that time (epoch seconds)."""
    with _opened(top) as descriptor:
        device = os.fstat(descriptor).st_dev
        yield from _below(descriptor, device, PurePosixPath(), pattern, before, recursive)


def _below(
    folder: int, device: int, prefix: PurePosixPath, pattern: str, before: float, recursive: bool
) -> Iterator[Expired]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        try:
            about = os.stat(entry.name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue  # gone meanwhile
        if about.st_dev != device:
            continue
        if stat.S_ISREG(about.st_mode):
            if about.st_mtime < before and fnmatch.fnmatchcase(entry.name, pattern) and _is_text(entry.name):
                size = about.st_size if about.st_nlink == 1 else 0
                yield Expired(str(prefix / entry.name), about.st_ino, about.st_mtime, size)
        elif stat.S_ISDIR(about.st_mode) and recursive and len(prefix.parts) < _DEEPEST:
            try:
                inner = os.open(entry.name, _OPEN_FOLDER, dir_fd=folder)
            except OSError:
                continue  # replaced by a link, gone, or not ours to read: not ours to delete either
            try:
                yield from _below(inner, device, prefix / entry.name, pattern, before, recursive)
            finally:
                os.close(inner)


def delete(top: Path, name: str, inode: int, before: float) -> int:
    """Bytes that went; 0 where the file is gone already, or is not the one that was listed.

    A file of that name that is another one now (other inode, or written to since) is left alone.
    """
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise Permanent(f"{name!r} is not a name below {top}")
    with _opened(top) as descriptor:
        device = os.fstat(descriptor).st_dev
        folder = os.dup(descriptor)
        try:
            for part in parts[:-1]:
                inner = os.open(part, _OPEN_FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
            about = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
            same = about.st_ino == inode and about.st_dev == device and stat.S_ISREG(about.st_mode)
            if not same or about.st_mtime >= before:
                return 0
            os.unlink(parts[-1], dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except PermissionError as error:
            raise Refused(f"may not delete in {top}: {error.strerror}", reason="permission") from error
        except OSError as error:
            raise Transient(f"{top}: {name!r} cannot be deleted: {error.strerror}") from error
        finally:
            os.close(folder)
        return about.st_size if about.st_nlink == 1 else 0


@contextmanager
def _opened(top: Path) -> Iterator[int]:
    try:
        descriptor = os.open(top, _OPEN_FOLDER)
    except PermissionError as error:
        raise Refused(f"may not read {top}: {error.strerror}", reason="permission") from error
    except OSError as error:
        # A link in its place says "not a directory": that is no folder either.
        raise Permanent(f"{top} is not a folder that can be opened: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_text(name: str) -> bool:
    """Can this name be journaled and shown? Undecodable bytes come as lone surrogates."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
