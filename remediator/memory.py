"""A process that waits most of its life keeps no memory that it needed only to start."""

from __future__ import annotations

import ctypes
import gc
import mimetypes

_M_ARENA_MAX = -8
"""Of glibc's `mallopt`."""


def one_pool() -> None:
    """From now on all threads take memory from one pool. Call it before there are any.

    A pool for each of the ledger's threads costs megabytes; they wait for the interpreter's lock and the disk, never
    for each other's memory. Where the C library is not glibc, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def no_file_names() -> None:
    """Nothing is served by a file's name, so that the system's list of their types need not be read. Call it first."""
    mimetypes.knownfiles.clear()


def settle() -> None:
    """Everything was started: what that left behind is given back, and what stays is not looked through again."""
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
