"""CPU seconds that a tree of processes has used, exact while its processes come and go.

The kernel adds what a child used to its parent when the parent reaps it (`children_user`, `children_system`). So the
difference over the living, and what the reapers gained beyond what was already counted for the dead, is what was used.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from exporter.collectors.base import CollectError

BIRTH_SLACK = 0.1
"""Seconds by which a process may seem older than it is (its start is counted in clock ticks)."""

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")

CONSISTENT_TRIES = 4


@dataclass(frozen=True, slots=True)
class ProcessTimes:
    """One process: who it is, since when (seconds since boot), CPU seconds it used, and those of children it reaped."""

    pid: int
    parent: int
    started: float
    own: float
    reaped: float
    ended: bool = False
    """A zombie: ended, and not reaped yet."""


@dataclass(frozen=True, slots=True)
class TreeTimes:
    """All living processes of one tree, read at `at` (seconds since boot)."""

    root: int
    at: float
    processes: Mapping[int, ProcessTimes]


def cpu_seconds_between(before: TreeTimes, now: TreeTimes) -> float | None:
    """CPU seconds the tree used between two readings, never negative, nothing counted twice.

    None when the root is another process that already ran at `before`: then nobody knows what it had used.
    Of a process that was reaped by somebody outside the tree, what it used since `before` is not counted.
    """
    root_before, root_now = before.processes[before.root], now.processes[now.root]
    if _other(root_before, root_now):
        if root_now.started < before.at - BIRTH_SLACK:
            return None
        before = TreeTimes(now.root, before.at, {})
    used = 0.0
    gained: dict[int, float] = {}
    for pid, process in now.processes.items():
        earlier = before.processes.get(pid)
        if earlier is not None and not _other(earlier, process):
            used += max(0.0, process.own - earlier.own)
            gained[pid] = process.reaped - earlier.reaped
        elif process.started >= before.at - BIRTH_SLACK:
            used += process.own
            gained[pid] = process.reaped
    counted: dict[int, float] = {}
    for pid, process in before.processes.items():
        if pid not in now.processes or _other(process, now.processes[pid]):
            reaper = _living_ancestor(process, before, now)
            if reaper is not None:
                counted[reaper] = counted.get(reaper, 0.0) + process.own + process.reaped
    return used + sum(max(0.0, gain - counted.get(pid, 0.0)) for pid, gain in gained.items())


def _other(one: ProcessTimes, two: ProcessTimes) -> bool:
    return one.pid != two.pid or one.started != two.started


def _living_ancestor(process: ProcessTimes, before: TreeTimes, now: TreeTimes) -> int | None:
    seen = {process.pid}
    parent = before.processes.get(process.parent)
    while parent is not None and parent.pid not in seen:
        seen.add(parent.pid)
        living = now.processes.get(parent.pid)
        if living is not None and not _other(parent, living):
            return parent.pid
        parent = before.processes.get(parent.parent)
    return None


def read_tree(root: int, known: Iterable[ProcessTimes] = (), proc: Path = PROC) -> TreeTimes:
    """The tree below `root` as it is now. Raises CollectError when there is no such process.

    Of the `known` earlier members, those that live on elsewhere (their parent ended first) still belong to it.
    A process that ends while it is read could be seen twice (alive, and in what its parent reaped) or not at all; so
    the reading is repeated until nothing ended meanwhile.
    """
    earlier = {process.pid: process.started for process in known}
    reading = _read_once(root, earlier, proc)
    for _ in range(CONSISTENT_TRIES):
        again = _read_once(root, earlier, proc)
        if _lives(reading) == _lives(again):
            return again
        reading = again
    return reading


def _lives(reading: TreeTimes) -> dict[int, tuple[float, float]]:
    return {pid: (process.started, process.reaped) for pid, process in reading.processes.items()}


def _read_once(root: int, earlier: Mapping[int, float], proc: Path) -> TreeTimes:
    at = time.clock_gettime(time.CLOCK_BOOTTIME)
    everything = {}
    for entry in os.listdir(proc):
        if entry.isdecimal() and (process := read_process(int(entry), proc)) is not None:
            everything[process.pid] = process
    if root not in everything:
        raise CollectError(f"process {root} does not run")
    children: dict[int, list[int]] = {}
    for process in everything.values():
        children.setdefault(process.parent, []).append(process.pid)
    members: dict[int, ProcessTimes] = {}
    pending = [
        root,
        *(pid for pid, started in earlier.items() if pid in everything and everything[pid].started == started),
    ]
    while pending:
        pid = pending.pop()
        if pid not in members:
            members[pid] = everything[pid]
            pending += children.get(pid, ())
    return TreeTimes(root, at, members)


def read_process(pid: int, proc: Path = PROC) -> ProcessTimes | None:
    """One process's times as the kernel tells them; None when it has ended."""
    try:
        written = (proc / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may hold anything, parentheses and spaces too.
    parts = written[written.rindex(b")") + 2 :].split()
    ended = parts[0] in (b"Z", b"X")
    parent, user, system, children_user, children_system, started = (int(parts[i]) for i in (1, 11, 12, 13, 14, 19))
    return ProcessTimes(
        pid, parent, started / TICKS, (user + system) / TICKS, (children_user + children_system) / TICKS, ended
    )


def tree_memory_bytes(processes: Iterable[int], proc: Path = PROC) -> int:
    """Bytes of memory that the processes hold; pages they share count once where the kernel tells (PSS), else each."""
    return sum(_proportional(pid, proc) for pid in processes)


def _proportional(pid: int, proc: Path) -> int:
    try:
        for line in (proc / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        # Not ours to look into, or it just ended: the resident size is open to everybody.
        pass
    with contextlib.suppress(psutil.NoSuchProcess):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def read_pid(pidfile: Path) -> int:
    """The process id that stands in the file. Raises CollectError when there is none."""
    try:
        return int(pidfile.read_text().strip())
    except FileNotFoundError as error:
        raise CollectError(f"{pidfile} does not exist: is it running?") from error
    except (OSError, ValueError) as error:
        raise CollectError(f"{pidfile} holds no process id") from error
