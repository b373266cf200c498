"""Programs of the distribution's packages that rigs run: the system's, else unpacked below `.grace/tools`."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from stack.packages import PackageFolder, library_folders, locked

FOLDER = Path(__file__).parents[4] / ".grace" / "tools"


@cache
def unpacked(*packages: str) -> tuple[Path, ...]:
    """The root of each package, in the order asked for; unpacked once, without root, and kept."""
    folder = Path(os.environ.get("GRACE_TOOLS") or FOLDER)
    with locked(folder, print):
        lacking = [package for package in packages if _root(folder, package) is None]
        if lacking:
            PackageFolder(folder, print).unpack(lacking)
    roots = [_root(folder, package) for package in packages]
    return tuple(root for root in roots if root is not None)


def libraries(*roots: Path) -> dict[str, str]:
    """The environment in which programs below these roots find their libraries."""
    search = ":".join(str(folder) for root in roots for folder in library_folders(root))
    return {**os.environ, "LD_LIBRARY_PATH": search} if search else dict(os.environ)


def _root(folder: Path, package: str) -> Path | None:
    return next(iter(sorted((folder / "packages").glob(f"{package}_*"))), None)
