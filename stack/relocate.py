"""Makes a packaged program run from wherever it was unpacked, without a file outside that place.

Two things tie it to the system: shared libraries, which the loader is told where to find, and paths compiled in. The
distribution's Prometheus and Alertmanager read templates and pages below /usr/share/prometheus, Alertmanager does not
start without them, and no option changes that. In the unpacked copy that path becomes one of the same length which
leads through an open file descriptor to the folder unpacked beside it.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable
from pathlib import Path

COMPILED_IN = b"/usr/share/prometheus"
DESCRIPTOR = 9
_THROUGH = b"/proc/self/fd/%d" % DESCRIPTOR
_REPLACEMENT = _THROUGH.ljust(len(COMPILED_IN), b"/")


def relocate(program: Path, root: Path) -> Path | None:
    """Replaces the compiled-in path; the folder that must be open as `DESCRIPTOR` when the program runs, or None."""
    folder = root / COMPILED_IN.decode().lstrip("/")
    if not folder.is_dir():
        return None
    content = program.read_bytes()
    if COMPILED_IN in content:
        fresh = program.with_name(f".{program.name}.new")
        fresh.write_bytes(content.replace(COMPILED_IN, _REPLACEMENT))
        fresh.chmod(stat.S_IMODE(program.stat().st_mode))
        fresh.replace(program)
    elif _REPLACEMENT not in content:
        return None
    return folder


def start_script(program: Path, libraries: Iterable[Path], folder: Path | None, beside: Path) -> str:
    """A shell script for the folder `beside`, which becomes the program; relative, so that all of it may be moved."""

    def place(path: Path) -> str:
        return f'"$here"/{shlex.quote(os.path.relpath(path, beside))}'

    search = ":".join(place(library) for library in libraries)
    lines = ["#!/bin/sh", 'here=$(dirname "$(readlink -f "$0")")']
    if search:
        lines.append(f'export LD_LIBRARY_PATH={search}"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"')
    if folder is not None:
        lines.append(f"exec {DESCRIPTOR}<{place(folder)}")
    return "\n".join([*lines, f'exec {place(program)} "$@"', ""])
