"""The faults that can be put into the workload, and the one file that carries them.

An injector changes how the workload's own processes behave, and nothing else: it never reads a weight, an alert or
anything of Grace. Each effect has a fixed size; what is measured is what the processes then really do.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Sizes = Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that is in the workload since `since` (epoch seconds)."""

    name: str
    since: float
    sizes: Sizes

    def number(self, key: str) -> float:
        return float(self.sizes[key])

    def word(self, key: str) -> str:
        return str(self.sizes[key])


SIZES: Mapping[str, Sizes] = {
    # Requests on this shard burn that much more CPU: four to six a second want all that the shard may use.
    "cpu": {"shard": "api-1", "cpu_seconds": 0.048},
    # The dependency takes its time: of three calls on two workers the last takes more than 500 ms, alone less than 350.
    "slow-api": {"upstream_seconds": 0.292},
    # Workers of this shard that started before the fault answer 500 to that share of requests.
    "errors": {"shard": "api-1", "share": 0.5},
    # Two workers do 8 tasks a second: with the steady 2 these are as many, so the burst stays. Three do 12.
    "queue-flood": {"burst": 100, "per_second": 6},
    # This worker of the pool hangs on the task it does; who injects the fault picks one.
    "stuck-worker": {"worker": ""},
    # That share of documents no longer matches its manifest: a window that also holds a good session is critical too.
    "bad-sources": {"share": 0.8},
    # That share of the book's answers is wrong: of eight sandbox runs in a session two fail.
    "bad-exercises": {"share": 0.25},
    # Sessions start as fast as the rate limit lets them.
    "ingestion-flood": {},
    # So many bytes of expired files appear on the demo volume.
    "disk-fill": {"bytes": 40 * 1024 * 1024},
    # The pid file of this shard is gone, so nobody can see its processes.
    "collector-blackout": {"shard": "api-1"},
}


def read(path: Path) -> Mapping[str, Fault]:
    """The faults that are in the workload now, by name; none where there is no file.

    Raises ValueError when the file is not what `inject` writes.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        return {name: Fault(name, float(row["since"]), dict(row["sizes"])) for name, row in json.loads(text).items()}
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a file of faults: {error}") from error


def inject(path: Path, name: str, now: float, **where: str) -> Fault:
    """Put a fault into the workload at its fixed size, and return it; `where` names another worker or shard.

    Raises KeyError for a name that is not in SIZES.
    """
    fault = Fault(name, now, {**SIZES[name], **where})
    with _changing(path) as faults:
        faults[name] = fault
    return fault


def clear(path: Path, *names: str) -> None:
    """Take these faults (all, where none is named) out of the workload again. Harmless when they are not in it."""
    with _changing(path) as faults:
        for name in names or tuple(faults):
            faults.pop(name, None)


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, Fault]]:
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        faults = dict(read(path))
        yield faults
        fresh = path.with_suffix(".new")
        rows = {name: {"since": fault.since, "sizes": dict(fault.sizes)} for name, fault in faults.items()}
        fresh.write_text(json.dumps(rows), encoding="utf-8")
        fresh.replace(path)


class FaultFile:
    """The faults in the workload, for its processes: one `stat` a call, read again only when the file changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._faults: Mapping[str, Fault] = {}

    def active(self) -> Mapping[str, Fault]:
        """The faults by name. Raises ValueError as `read` does."""
        try:
            stat = os.stat(self._path)
        except FileNotFoundError:
            self._seen, self._faults = None, {}
            return self._faults
        seen = (stat.st_mtime_ns, stat.st_ino)
        if seen != self._seen:
            self._faults, self._seen = read(self._path), seen
        return self._faults

    def get(self, name: str) -> Fault | None:
        """This fault, where it is in the workload."""
        return self.active().get(name)
