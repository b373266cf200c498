"""The programs that Grace runs but does not ship: Prometheus, Alertmanager, HAProxy and their checkers.

Looked for on PATH, then in a folder of ours, then unpacked into that folder from the distribution's packages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.packages import PackageFolder, PackagesError, Report, library_folders, locked
from stack.relocate import relocate, start_script

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a tool is called, where packages put it, how it tells its version, and the oldest that will do."""

    package: str
    least: Version
    names: tuple[str, ...]
    version_flag: str = "--version"


REQUIREMENTS: Mapping[str, Requirement] = {
    "prometheus": Requirement("prometheus", (2, 42), ("prometheus",)),
    "promtool": Requirement("prometheus", (2, 42), ("promtool",)),
    "alertmanager": Requirement("prometheus-alertmanager", (0, 25), ("alertmanager", "prometheus-alertmanager")),
    "amtool": Requirement("prometheus-alertmanager", (0, 25), ("amtool",)),
    "haproxy": Requirement("haproxy", (2, 4), ("haproxy",), version_flag="-v"),
}
_SYSTEM_PLACES = ("/usr/sbin", "/sbin", "/usr/local/sbin")


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that runs here, by its path alone."""

    name: str
    path: Path
    version: str


class ToolsMissing(Exception):
    """Tools that are neither here nor to be had; the message carries the exact commands that get them."""


def tools_folder(data_dir: Path) -> Path:
    """Where unpacked tools lie: `$GRACE_TOOLS`, else `<data_dir>/tools`."""
    return Path(os.environ.get("GRACE_TOOLS") or data_dir / "tools")


def _silent(line: str) -> None:
    """Progress that nobody reads."""


def find(name: str, folder: Path, report: Report = _silent) -> Tool:
    """The tool, new enough and able to run. Raises ToolsMissing (see `find_all`)."""
    return find_all([name], folder, report)[name]


def find_all(names: Iterable[str], folder: Path, report: Report = _silent) -> dict[str, Tool]:
    """Every named tool, in the order asked for; what is missing is unpacked into `folder` together.

    `report` hears one line per stage. Raises ToolsMissing, naming what is missing and the commands to get it;
    KeyError for a name that is not in `REQUIREMENTS`.
    """
    wanted = list(names)
    found = {name: tool for name in wanted if (tool := present(name, folder))}
    missing = [name for name in wanted if name not in found]
    if missing:
        try:
            with locked(folder, report):
                missing = [name for name in missing if present(name, folder) is None]
                _unpack(missing, folder, report)
        except (PackagesError, OSError) as error:
            raise ToolsMissing(_how_to_get(missing, str(error))) from error
    for name in wanted:
        tool = found.get(name) or present(name, folder)
        if tool is None:
            raise ToolsMissing(_how_to_get([name], _why_not(name, folder)))
        found[name] = tool
    return {name: found[name] for name in wanted}


def present(name: str, folder: Path) -> Tool | None:
    """The tool where it is already here and new enough, else None. Nothing is downloaded."""
    need = REQUIREMENTS[name]
    for path in _places(name, folder):
        version = _version(path, need.version_flag)
        if version and parse_version(version) >= need.least:
            return Tool(name, path, version)
    return None


def parse_version(text: str) -> Version:
    """The leading numbers of a version: `2.42.0+ds` is (2, 42, 0)."""
    return tuple(int(part) for part in re.split(r"[^\d.]", text, maxsplit=1)[0].split(".") if part)


def _places(name: str, folder: Path) -> list[Path]:
    need = REQUIREMENTS[name]
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_PLACES])
    on_path = [Path(found) for candidate in need.names if (found := shutil.which(candidate, path=search))]
    ours = folder.resolve() / "usr" / "bin" / name
    return [*on_path, *([ours] if os.access(ours, os.X_OK) else [])]


def _version(path: Path, flag: str) -> str | None:
    try:
        told = subprocess.run([str(path), flag], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"version:? v?(\d+(?:\.\d+)+\S*)", told.stdout + told.stderr)
    return found[1].rstrip(",") if told.returncode == 0 and found else None


def _unpack(names: Iterable[str], folder: Path, report: Report) -> None:
    packages = list(dict.fromkeys(REQUIREMENTS[name].package for name in names))
    if not packages:
        return
    roots = PackageFolder(folder, report).unpack(packages)
    for name, need in REQUIREMENTS.items():
        if need.package in roots:
            _link(name, need, roots[need.package], folder.resolve())


def _link(name: str, need: Requirement, root: Path, folder: Path) -> None:
    """Make `<folder>/usr/bin/NAME` start the unpacked program, wherever the folder lies."""
    places = [root / top / candidate for top in ("usr/bin", "usr/sbin") for candidate in need.names]
    program = next((place for place in places if place.is_file()), None)
    if program is None:
        raise PackagesError(f"package {need.package} holds no {name}")
    link = folder / "usr" / "bin" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{name}.new")
    fresh.unlink(missing_ok=True)
    libraries, opened = library_folders(root), relocate(program, root)
    if libraries or opened:
        fresh.write_text(start_script(program, libraries, opened, link.parent), encoding="utf-8")
        fresh.chmod(0o755)
    else:
        fresh.symlink_to(os.path.relpath(program, link.parent))
    fresh.replace(link)


def _why_not(name: str, folder: Path) -> str:
    need = REQUIREMENTS[name]
    least = ".".join(map(str, need.least))
    told = [f"{path} is {_version(path, need.version_flag)}" for path in _places(name, folder)]
    return f"{name} {least} or newer is needed; " + ("; ".join(told) or "none is here")


def _how_to_get(names: Iterable[str], why: str) -> str:
    packages = " ".join(dict.fromkeys(REQUIREMENTS[name].package for name in names))
    needs = ", ".join(f"{name} ≥ {'.'.join(map(str, REQUIREMENTS[name].least))}" for name in names)
    lines = (
        f"{needs} cannot be had here: {why}",
        "Get them with",
        f"    sudo apt-get update && sudo apt-get install --no-install-recommends {packages}",
        "or put their binaries on PATH, or into <folder>/usr/bin and set GRACE_TOOLS=<folder>.",
    )
    return "\n".join(lines)
