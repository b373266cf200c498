"""Collector `psutil`: CPU and memory of hosts (this machine, or process trees that stand for one), and volumes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import psutil
from pydantic import Field

from catalog.config import FilePath
from catalog.document import Where
from catalog.model import Catalog, Frozen
from exporter.blocking import Blocking
from exporter.collectors.base import CollectError, CollectorConfig, Probe, Setting
from exporter.collectors.process_tree import (
    ProcessTimes,
    TreeTimes,
    cpu_seconds_between,
    read_pid,
    read_tree,
    tree_memory_bytes,
)
from exporter.collectors.volume import filesystem_usage, folder_usage
from exporter.families import Family, Measured, Reading, gauge, labels_of

CPU, MEMORY, DISK = "infra.cpu_utilization", "infra.memory_utilization", "infra.disk_usage"
CPU_SERIES = "grace_host_cpu_utilization_ratio"
MEMORY_SERIES = "grace_host_memory_utilization_ratio"
DISK_SERIES = "grace_volume_usage_ratio"


class HostConfig(Frozen):
    """A tree of processes that stands for a host: what it uses, out of what it may."""

    resource: str = Field(min_length=1)
    """What it is called in the catalog's series."""
    pidfile: FilePath
    """Holds the process id of the tree's root."""
    cores: float = Field(gt=0)
    """CPU cores it may use; 0.5 is half of one."""
    memory_bytes: int = Field(gt=0)
    """Bytes of memory it may hold."""


class VolumeConfig(Frozen):
    """A filesystem, or with `quota_bytes` a folder that may hold so many bytes."""

    resource: str = Field(min_length=1)
    """What it is called in the catalog's series."""
    path: FilePath
    """A mount point, or any folder on it."""
    quota_bytes: int | None = Field(default=None, gt=0)
    """Bytes that the files below `path` may hold together; without it the whole filesystem is meant."""


class PsutilConfig(CollectorConfig):
    collector: Literal["psutil"]
    """CPU, memory and volumes of this machine, or of process trees that stand for one."""
    hosts: tuple[HostConfig, ...] = ()
    """Without any: this machine, under its own name."""
    volumes: tuple[VolumeConfig, ...] = ()
    """The volumes that are watched."""

    def faults(self, catalog: Catalog) -> Iterator[tuple[Where, str]]:
        yield from super().faults(catalog)
        for index, each in enumerate(self.metric_ids):
            if each in catalog.metrics and each not in (CPU, MEMORY, DISK):
                yield ("metric_ids", index), f"psutil measures {CPU}, {MEMORY} and {DISK}, not {each}"
        if DISK in self.metric_ids and not self.volumes:
            yield (), f'"volumes" is missing: {DISK} is measured for each of them'
        yield from _twice("hosts", [host.resource for host in self.hosts])
        yield from _twice("volumes", [volume.resource for volume in self.volumes])


def _twice(key: str, resources: Sequence[str]) -> Iterator[tuple[Where, str]]:
    for index, resource in enumerate(resources):
        if resource in resources[:index]:
            yield (key, index, "resource"), f"this is also the resource of {key}[{resources.index(resource)}]"


class PsutilCollector:
    """One probe for each host and each volume."""

    def __init__(self, config: PsutilConfig, setting: Setting, *, hostname: str | None = None) -> None:
        on = setting.wanted(config.metric_ids)
        of_hosts = [each for each in on if each != DISK]
        probes = []
        if of_hosts:
            pace = setting.pace(of_hosts, config)
            machine = hostname or socket.gethostname()
            hosts: list[TreeHost] | list[Machine] = [TreeHost(each) for each in config.hosts] or [Machine(machine)]
            for host in hosts:
                probes.append(Probe(f"host {host.resource}", pace, Blocking(_only(host.read, of_hosts), host.resource)))
        if DISK in on:
            pace = setting.pace([DISK], config)
            for volume in config.volumes:
                probes.append(Probe(f"volume {volume.resource}", pace, Blocking(_reader(volume), volume.resource)))
        self.probes: Sequence[Probe] = tuple(probes)

    async def close(self) -> None:
        """Nothing is held."""


def _only(read: Callable[[], dict[str, Family | None]], metric_ids: Sequence[str]) -> Callable[[], Reading]:
    def reading() -> Reading:
        found = {metric: family for metric, family in read().items() if metric in metric_ids and family is not None}
        resources = {metric: dict(family.samples[0].labels)["resource"] for metric, family in found.items()}
        measured = frozenset(Measured(metric, resource) for metric, resource in resources.items())
        return Reading(tuple(found.values()), measured)

    return reading


class Machine:
    """This machine: CPU by the difference of its CPU times, so the first reading has memory only."""

    def __init__(self, resource: str) -> None:
        self.resource = resource
        self._before: tuple[float, float] | None = None

    def read(self) -> dict[str, Family | None]:
        labels = labels_of({"resource": self.resource})
        busy, total = busy_and_total()
        before, self._before = self._before, (busy, total)
        share = None
        if before is not None and total > before[1]:
            # The kernel's idle and iowait may step back a little.
            share = min(max((busy - before[0]) / (total - before[1]), 0.0), 1.0)
        memory = psutil.virtual_memory()
        return {
            CPU: gauge(CPU_SERIES, labels, share),
            MEMORY: gauge(MEMORY_SERIES, labels, 1 - memory.available / memory.total),
        }


def busy_and_total() -> tuple[float, float]:
    """Seconds since boot, over all cores, in which this machine was busy, and of all time."""
    times = psutil.cpu_times()
    # Linux counts guest time within user and nice.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total


class TreeHost:
    """A process tree as a host: the first reading has memory only, as does the first after its master was replaced."""

    def __init__(
        self, config: HostConfig, read: Callable[[int, Iterable[ProcessTimes]], TreeTimes] = read_tree
    ) -> None:
        self.resource = config.resource
        self._config = config
        self._read = read
        self._before: TreeTimes | None = None

    def read(self) -> dict[str, Family | None]:
        labels = labels_of({"resource": self.resource})
        try:
            root = read_pid(self._config.pidfile)
            known = self._before.processes.values() if self._before and self._before.root == root else ()
            now = self._read(root, known)
        except CollectError:
            self._before = None
            raise
        before, self._before = self._before, now
        share = None
        if before is not None and now.at > before.at:
            used = cpu_seconds_between(before, now)
            share = None if used is None else used / (self._config.cores * (now.at - before.at))
        held = tree_memory_bytes(now.processes)
        return {
            CPU: gauge(CPU_SERIES, labels, share),
            MEMORY: gauge(MEMORY_SERIES, labels, held / self._config.memory_bytes),
        }


def _reader(config: VolumeConfig) -> Callable[[], Reading]:
    def reading() -> Reading:
        path: Path = config.path
        share = filesystem_usage(path) if config.quota_bytes is None else folder_usage(path, config.quota_bytes)
        family = gauge(DISK_SERIES, labels_of({"resource": config.resource}), share)
        assert family is not None
        return Reading((family,), frozenset({Measured(DISK, config.resource)}))

    return reading
