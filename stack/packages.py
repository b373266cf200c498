"""The distribution's packages, unpacked into a folder of ours: no root, no system state touched, no service started.

apt works on private lists and a private cache (`<folder>/apt`), with the system's hooks cleared; `dpkg -x` unpacks into
`<folder>/packages/NAME_VERSION_ARCH`, which appears by one rename or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

Report = Callable[[str], None]
"""Takes one line of progress, meant for people."""

_NEEDED = ("apt-get", "dpkg", "dpkg-deb", "dpkg-query")
_APT_SECONDS = 600
_SETTINGS = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "{apt}/state";
Dir::State::lists "{apt}/state/lists";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{apt}/cache";
Dir::Log "{apt}/log";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
APT::Sandbox::User "";
"""


class PackagesError(Exception):
    """The packages cannot be had here; the message says why, in one line."""


def sources_of(suite: str, system: Path = Path("/etc/apt")) -> str:
    """apt's lines for another suite of this distribution, on the mirrors that the machine's own lists name.

    Raises PackagesError when its lists name no Debian mirror.
    """
    mirrors: list[str] = []
    for path in sorted([system / "sources.list", *(system / "sources.list.d").glob("*")]):
        if path.is_file():
            text = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
            mirrors += re.findall(r"[a-z]+://[^\s\]]+/debian/?(?=\s|$)", text)
    if not mirrors:
        raise PackagesError(f"{system} names no Debian mirror, so the suite {suite} cannot be had")
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    return "".join(f"deb [signed-by={keys}] {mirror} {suite} main\n" for mirror in dict.fromkeys(mirrors))


@contextlib.contextmanager
def locked(folder: Path, report: Report) -> Iterator[None]:
    """Holds the folder's lock: of two processes that unpack at once, one waits and then finds the work done."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)  # the folder itself is the lock: no file is left behind
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"another process is unpacking into {folder}, waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class PackageFolder:
    """Unpacks packages below one folder. Call it inside `locked(folder)`.

    With `suite` they come from that suite of the distribution (`trixie`, `forky`) instead of the installed one, from
    the mirrors that this machine already uses.
    """

    def __init__(self, folder: Path, report: Report, suite: str | None = None) -> None:
        self._suite = suite
        self._folder = folder.resolve()
        self._report = report
        self._settings = self._folder / "apt" / "apt.conf"
        self._updated = False

    def unpack(self, packages: Sequence[str]) -> dict[str, Path]:
        """The root of each unpacked package, the shared libraries that the system lacks unpacked into the same root.

        Raises PackagesError where there is no apt, a package is unknown, the network is away or the disk is full.
        """
        lacking = [name for name in _NEEDED if shutil.which(name) is None]
        if lacking:
            raise PackagesError(f"this machine has no {', '.join(lacking)}")
        with self._scratch() as scratch:
            self._report(f"unpacking {', '.join(packages)} from the distribution's packages into {self._folder} (once)")
            archives = self._download(packages, scratch / "archives")
            return {name: self._place(archive, scratch) for name, archive in archives.items()}

    def _place(self, archive: Path, scratch: Path) -> Path:
        root = scratch / archive.stem
        self._run(["dpkg", "-x", str(archive), str(root)])
        self._add_libraries(archive, root, scratch)
        version = self._run(["dpkg-deb", "-f", str(archive), "Version"]).strip()
        final = self._folder / "packages" / archive.stem
        final.parent.mkdir(exist_ok=True)
        if final.exists():
            shutil.rmtree(final)
        root.rename(final)
        self._report(f"unpacked {archive.stem.split('_')[0]} {version}")
        return final

    def _add_libraries(self, archive: Path, root: Path, scratch: Path) -> None:
        """Unpack what the package depends on into its root until no shared library is missing."""
        waiting, seen = [archive], set[str]()
        while waiting and missing_libraries(root):
            wanted = [name for name in self._library_depends(waiting.pop(0)) if name not in seen]
            seen.update(wanted)
            for found in self._download(wanted, scratch / "libraries").values():
                self._run(["dpkg", "-x", str(found), str(root)])
                waiting.append(found)
        if missing := missing_libraries(root):
            raise PackagesError(f"{archive.stem} needs shared libraries that no package brought: {', '.join(missing)}")

    def _library_depends(self, archive: Path) -> list[str]:
        listed = self._run(["dpkg-deb", "-f", str(archive), "Depends", "Pre-Depends"])
        names = re.findall(r"(?:^|[,:])\s*(lib[a-z0-9.+-]+)", listed, flags=re.MULTILINE)
        return [name for name in dict.fromkeys(names) if not _installed(name)]

    def _download(self, packages: Iterable[str], folder: Path) -> dict[str, Path]:
        wanted = list(packages)
        if not wanted:
            return {}
        folder.mkdir(exist_ok=True)
        self._update()
        self._run(["apt-get", "-c", str(self._settings), "-qq", "download", *wanted], cwd=folder)
        found = {name: next(iter(folder.glob(f"{name}_*.deb")), None) for name in wanted}
        if absent := [name for name, path in found.items() if path is None]:
            raise PackagesError(f"apt-get brought no archive for {', '.join(absent)}")
        return {name: path for name, path in found.items() if path is not None}

    def _update(self) -> None:
        if self._updated:
            return
        apt = self._settings.parent
        for part in ("state/lists/partial", "cache/archives/partial", "log"):
            (apt / part).mkdir(parents=True, exist_ok=True)
        settings = _SETTINGS.format(apt=apt)
        if self._suite is not None:
            (apt / "sources.list").write_text(sources_of(self._suite), encoding="utf-8")
            settings += f'Dir::Etc::sourcelist "{apt}/sources.list";\nDir::Etc::sourceparts "-";\n'
        self._settings.write_text(settings, encoding="utf-8")
        self._report("reading the distribution's package lists")
        self._run(["apt-get", "-c", str(self._settings), "-qq", "update"])
        self._updated = True

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        for left_over in self._folder.glob(".unpack-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        try:
            with tempfile.TemporaryDirectory(prefix=".unpack-", dir=self._folder) as name:
                yield Path(name)
        except OSError as error:
            raise PackagesError(f"{self._folder} cannot be written: {error.strerror or error}") from error

    def _run(self, argv: Sequence[str], cwd: Path | None = None) -> str:
        environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        try:
            done = subprocess.run(
                argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=_APT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise PackagesError(f"{argv[0]} did not finish within {_APT_SECONDS} s") from error
        if done.returncode != 0:
            raise PackagesError(f"{argv[0]} failed: {_last_error(done.stderr) or f'exit {done.returncode}'}")
        return done.stdout


def library_folders(root: Path) -> tuple[Path, ...]:
    """The folders below an unpacked root that hold shared libraries, for the loader's search path."""
    holders = {found.parent for top in ("lib", "usr/lib") for found in (root / top).glob("**/*.so*")}
    return tuple(sorted(holders))


def missing_libraries(root: Path) -> tuple[str, ...]:
    """Names of the shared libraries that programs below the root need and neither it nor the system has."""
    search = ":".join(map(str, library_folders(root)))
    programs = [path for top in ("usr/bin", "usr/sbin") for path in (root / top).glob("*") if path.is_file()]
    lacking: dict[str, None] = {}
    for program in programs:
        listed = subprocess.run(
            ["ldd", str(program)],
            env={**os.environ, "LC_ALL": "C", "LD_LIBRARY_PATH": search},
            capture_output=True,
            text=True,
            check=False,
        )
        lacking.update(dict.fromkeys(re.findall(r"^\s*(\S+) => not found", listed.stdout, flags=re.MULTILINE)))
    return tuple(lacking)


def _installed(package: str) -> bool:
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}", package], capture_output=True, text=True, check=False
    )
    return asked.returncode == 0 and asked.stdout.startswith("installed")


def _last_error(text: str) -> str:
    lines = [line.removeprefix("E: ").strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("E: ").strip() for line in text.splitlines() if line.startswith("E: ")]
    return (errors or lines or [""])[-1]
