"""Where the workload keeps its files, and the short way to its sockets."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

LONGEST_SOCKET = 107
"""Bytes in the path of a unix socket on Linux."""
_LONGEST_NAME = len("/haproxy.sock.4194304.tmp")
"""HAProxy binds under such a name first and then renames it."""
SHARDS = ("api-1", "api-2")
SPARES = ("api-3",)
"""Shards that start when a node is added, and are nowhere before."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below one data folder: `root` is `<data>/demo`, `run` a way to `<data>/demo/run` that sockets can take."""

    root: Path
    run: Path

    @property
    def faults(self) -> Path:
        return self.root / "faults.json"

    @property
    def tasks(self) -> Path:
        return self.root / "tasks.db"

    @property
    def learning(self) -> Path:
        return self.root / "learning.db"

    @property
    def sources(self) -> Path:
        return self.root / "sources"

    @property
    def volume(self) -> Path:
        return self.root / "volume"

    @property
    def load_log(self) -> Path:
        return self.root / "load.jsonl"

    @property
    def balancer_config(self) -> Path:
        return self.root / "haproxy.cfg"

    @property
    def balancer_socket(self) -> Path:
        return self.run / "haproxy.sock"

    @property
    def pool_config(self) -> Path:
        return self.root / "circus.ini"

    @property
    def pool_socket(self) -> Path:
        return self.run / "circus.sock"

    @property
    def pool_endpoint(self) -> str:
        return f"ipc://{self.pool_socket}"

    @property
    def pool_events(self) -> str:
        return f"ipc://{self.run / 'circus-events.sock'}"

    def shard_socket(self, shard: str) -> Path:
        return self.run / f"{shard}.sock"

    def shard_pidfile(self, shard: str) -> Path:
        return self.run / f"{shard}.pid"

    def shard_control(self, shard: str) -> Path:
        return self.run / f"{shard}.ctl"

    def multiproc(self, shard: str) -> Path:
        return self.root / "multiproc" / shard


def layout(data: Path) -> Layout:
    """The paths below this data folder. Where they are too long for sockets, `make_short` must have been called."""
    root = data.resolve() / "demo"
    record = root / "run.short"
    if fits(root / "run") or not record.exists():
        return Layout(root, root / "run")
    return Layout(root, Path(record.read_text(encoding="utf-8").strip()))


def fits(run: Path) -> bool:
    """Whether every socket in this folder has a path that the kernel takes."""
    return len(str(run).encode()) + _LONGEST_NAME <= LONGEST_SOCKET


def make_short(data: Path) -> Layout:
    """Make the folder of sockets, and where its path is too long a link to it in a private temporary folder.

    The link is recorded in `<data>/demo/run.short`, so that later callers of `layout` find it.
    """
    root = data.resolve() / "demo"
    (root / "run").mkdir(parents=True, exist_ok=True, mode=0o700)
    here = layout(data)
    if fits(root / "run") or (here.run.is_symlink() and here.run.resolve() == root / "run"):
        return here
    link = Path(tempfile.mkdtemp(prefix="grace-")) / "run"
    link.symlink_to(root / "run", target_is_directory=True)
    (root / "run.short").write_text(f"{link}\n", encoding="utf-8")
    return Layout(root, link)


def tidy(data: Path) -> None:
    """Remove the sockets, and the link that `make_short` made; for when nothing of the workload runs any more."""
    here = layout(data)
    for left in (here.root / "run").glob("*"):
        if left.is_socket():
            left.unlink(missing_ok=True)
    if here.run.is_symlink():
        here.run.unlink()
        shutil.rmtree(here.run.parent, ignore_errors=True)
        (here.root / "run.short").unlink(missing_ok=True)
