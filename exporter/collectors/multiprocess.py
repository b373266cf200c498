"""Collector `multiprocess`: the directories that prometheus-client writes in web workers (`PROMETHEUS_MULTIPROC_DIR`).

Counters and histograms of dead workers go on counting: their files stay, are read once more when their worker has
ended and are remembered from then on. Gauges of dead workers are left out (and, of the `live…` kinds, their files are
removed, as prometheus-client does it). Where no worker lives the directory has nothing to say: a service that is down
is not an idle one.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from catalog.config import FilePath
from catalog.document import Where
from catalog.model import Catalog, Frozen
from exporter.blocking import Blocking
from exporter.collectors.base import CollectError, CollectorConfig, Probe, Setting
from exporter.collectors.process_tree import PROC, read_process
from exporter.families import (
    SERIES_NAME,
    Family,
    Kind,
    Labels,
    Measured,
    Reading,
    Sample,
    family,
    labels_of,
    raw_series,
)

MIDDLEWARE_SERIES = frozenset(
    {
        "grace_http_request_duration_seconds",
        "grace_http_requests_total",
        "grace_http_requests_in_progress",
        "grace_http_workers",
        "grace_http_busy_seconds_total",
    }
)
_FILE = re.compile(r"^(?P<type>counter|histogram|gauge)(?:_(?P<mode>[a-z]+))?_(?P<pid>\d+)\.db$")
_LENGTH = struct.Struct("i")
_VALUE_AND_TIME = struct.Struct("dd")
MAX_KEYS = 100_000
"""Distinct series whose parsed names are kept between readings."""


class DirectoryConfig(Frozen):
    """One service's directory, and labels that tell its series from those of its siblings."""

    path: FilePath
    """The workers' `PROMETHEUS_MULTIPROC_DIR`."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Added to every series; different for every directory."""


class MultiprocessConfig(CollectorConfig):
    collector: Literal["multiprocess"]
    """What web workers count through the middleware, or by prometheus-client itself."""
    resource: str = Field(min_length=1)
    """What the service is called in the catalog's series."""
    directories: tuple[DirectoryConfig, ...] = Field(min_length=1)
    """One for each group of workers."""

    def faults(self, catalog: Catalog) -> Iterator[tuple[Where, str]]:
        yield from super().faults(catalog)
        seen: list[Mapping[str, str]] = []
        for index, directory in enumerate(self.directories):
            if directory.labels in seen:
                yield ("directories", index), "two directories need different labels, so that their series differ"
            seen.append(directory.labels)
            for name in directory.labels:
                if not SERIES_NAME.match(name) or name in ("resource", "le", "pid"):
                    yield ("directories", index, "labels", name), "this cannot be the name of a label here"


class MultiprocessCollector:
    """One probe for each directory."""

    def __init__(self, config: MultiprocessConfig, setting: Setting) -> None:
        metric_ids = setting.wanted(config.metric_ids)
        pace = setting.pace(metric_ids, config)
        names = MIDDLEWARE_SERIES.union(*(raw_series(setting.catalog.metrics[each]) for each in metric_ids))
        measured = frozenset(Measured(each, config.resource) for each in metric_ids)
        self.probes: Sequence[Probe] = tuple(
            Probe(str(each.path), pace, Blocking(_reader(each, config.resource, names, measured), each.path.name))
            for each in config.directories
            if metric_ids
        )

    async def close(self) -> None:
        """Nothing is held."""


def _reader(
    config: DirectoryConfig, resource: str, names: frozenset[str], measured: frozenset[Measured]
) -> Callable[[], Reading]:
    directory = Directory(config.path, names, labels_of({**config.labels, "resource": resource}))
    return lambda: Reading(directory.read(), measured)


class Entry(NamedTuple):
    """One value of one worker's file, as it is merged with those of the others."""

    family: str
    name: str
    labels: Labels
    help: str


class Held(NamedTuple):
    """A value, and when it was set (epoch seconds; 0 but for gauges of the `mostrecent` kinds)."""

    value: float
    at: float


@dataclass(frozen=True, slots=True)
class WorkerFile:
    """One file of one worker process: what kind of values it holds, and how gauges are merged."""

    path: Path
    kind: Kind
    mode: str
    pid: int


@dataclass(slots=True)
class Directory:
    """What the workers that write into one directory have counted, together."""

    path: Path
    names: frozenset[str]
    labels: Labels
    _workers: Workers = field(default_factory=lambda: Workers())
    _ended: dict[str, Mapping[Entry, Held]] = field(default_factory=dict)
    _keys: dict[bytes, Entry | None] = field(default_factory=dict)

    def read(self) -> tuple[Family, ...]:
        """Merged families. Raises CollectError when there is no directory, or no living worker in it."""
        files = self._files()
        living = self._workers.living(files)
        if not living:
            raise CollectError(f"no live worker writes into {self.path}")
        if len(self._keys) > MAX_KEYS:
            self._keys.clear()
        merged = _Merged()
        for file in files:
            if file.pid in living:
                self._ended.pop(file.path.name, None)
                merged.add(file, self._values(file))
            elif file.kind is Kind.GAUGE:
                if file.mode.startswith("live"):
                    file.path.unlink(missing_ok=True)
            else:
                if file.path.name not in self._ended:
                    self._ended[file.path.name] = self._values(file)
                merged.add(file, self._ended[file.path.name])
        present = {file.path.name for file in files}
        self._ended = {name: values for name, values in self._ended.items() if name in present}
        return merged.families(self.labels)

    def _files(self) -> list[WorkerFile]:
        try:
            names = os.listdir(self.path)
        except OSError as error:
            raise CollectError(f"{self.path}: {error.strerror}") from error
        found = []
        for name in sorted(names):
            match = _FILE.match(name)
            if match:
                kind, mode = Kind(match["type"]), match["mode"] or ""
                found.append(WorkerFile(self.path / name, kind, mode, int(match["pid"])))
        return found

    def _values(self, file: WorkerFile) -> Mapping[Entry, Held]:
        try:
            return {
                entry: Held(value, at)
                for key, value, at in read_values(file.path)
                if (entry := self._entry(key)) is not None
            }
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise CollectError(f"{file.path}: {error.strerror}") from error
        except ValueError as error:
            raise CollectError(f"{file.path} is damaged ({error}); remove it when its worker has ended") from error

    def _entry(self, key: bytes) -> Entry | None:
        if key not in self._keys:
            family_name, name, labels, help_text = json.loads(key)
            wanted = family_name in self.names or name in self.names
            self._keys[key] = Entry(family_name, name, labels_of(labels), help_text) if wanted else None
        return self._keys[key]


def read_values(path: Path) -> list[tuple[bytes, float, float]]:
    """Key (JSON), value and time of every entry of a worker's file. Raises ValueError when it is damaged.

    The file begins with the number of bytes in use; an entry is its key's length, the key padded to 8 bytes, the value,
    the time. A writer fills an entry first and counts it afterwards, so what is counted is whole.
    """
    with path.open("rb") as file:
        data = file.read(mmap.PAGESIZE)
        if len(data) < 8:
            return []
        (used,) = _LENGTH.unpack_from(data)
        if used > len(data):
            data += file.read(used - len(data))
    if used < 0 or used > len(data):
        raise ValueError(f"it says that {used} of its {len(data)} bytes are in use")
    found = []
    position = 8
    while position < used:
        (length,) = _LENGTH.unpack_from(data, position)
        key_at, value_at = position + 4, position + 4 + length + 8 - (length + 4) % 8
        if length < 0 or value_at + 16 > used:
            raise ValueError(f"the entry at byte {position} does not fit")
        value, at = _VALUE_AND_TIME.unpack_from(data, value_at)
        found.append((data[key_at : key_at + length], value, at))
        position = value_at + 16
    return found


class Workers:
    """Which of the processes that files are named after still live and write them (ids are used again by others)."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._seen: dict[int, float] = {}
        """When a process that was found writing had started."""

    def living(self, files: Iterable[WorkerFile]) -> frozenset[int]:
        """Ids of living workers."""
        by_pid: dict[int, list[Path]] = {}
        for file in files:
            by_pid.setdefault(file.pid, []).append(file.path)
        self._seen = {pid: started for pid, started in self._seen.items() if pid in by_pid}
        return frozenset(pid for pid, paths in by_pid.items() if self._lives(pid, paths))

    def _lives(self, pid: int, paths: Sequence[Path]) -> bool:
        process = read_process(pid, self._proc)
        if process is None or process.ended:
            return False
        if self._seen.get(pid) == process.started:
            return True
        if not self._has_open(pid, paths):
            return False
        self._seen[pid] = process.started
        return True

    def _has_open(self, pid: int, paths: Sequence[Path]) -> bool:
        try:
            inodes = {str(path.stat().st_ino) for path in paths}
            mapped = (self._proc / str(pid) / "maps").read_text(errors="replace")
        except PermissionError:
            # Somebody else's process: that it lives under this id is all that can be known.
            return True
        except (FileNotFoundError, ProcessLookupError):
            return False
        return any(fields[4] in inodes for line in mapped.splitlines() if len(fields := line.split(None, 5)) > 5)


class _Merged:
    """Values of several workers' files, summed (or the least, the greatest) by series."""

    def __init__(self) -> None:
        self._values: dict[Entry, Held] = {}
        self._kinds: dict[str, Kind] = {}

    def add(self, file: WorkerFile, values: Mapping[Entry, Held]) -> None:
        choose = _MERGES.get(file.mode.removeprefix("live"), _sum)
        for entry, held in values.items():
            self._kinds[entry.family] = file.kind
            if file.mode in ("all", "liveall"):
                entry = entry._replace(labels=tuple(sorted((*entry.labels, ("pid", str(file.pid))))))
            other = self._values.get(entry)
            self._values[entry] = held if other is None else choose(other, held)

    def families(self, labels: Labels) -> tuple[Family, ...]:
        """Families with `labels` added to every sample; histogram buckets accumulated, in order."""
        samples: dict[str, list[Sample]] = {}
        helps: dict[str, str] = {}
        buckets: dict[tuple[str, Labels], dict[float, float]] = {}
        for entry, (value, _) in self._values.items():
            helps.setdefault(entry.family, entry.help)
            suffix = entry.name.removeprefix(entry.family) if self._kinds[entry.family] is Kind.HISTOGRAM else ""
            own = dict(entry.labels)
            bound = own.pop("le", None) if suffix == "_bucket" else None
            full = tuple(sorted({**own, **dict(labels)}.items()))
            if bound is not None:
                buckets.setdefault((entry.family, full), {})[float(bound)] = value
            elif suffix in ("", "_sum"):
                samples.setdefault(entry.family, []).append(Sample(full, value, suffix))
        for (name, full), counts in buckets.items():
            total = 0.0
            for upper, count in sorted(counts.items()):
                total += count
                le = "+Inf" if upper == float("inf") else repr(upper)
                samples.setdefault(name, []).append(Sample(tuple(sorted((*full, ("le", le)))), total, "_bucket"))
            samples[name].append(Sample(full, total, "_count"))
        return tuple(self._family(name, rows, helps[name]) for name, rows in sorted(samples.items()))

    def _family(self, name: str, rows: list[Sample], help_text: str) -> Family:
        kind = self._kinds[name]
        if kind is Kind.HISTOGRAM:
            rows = sorted(rows, key=_by_labels_then_place)
        exposed = f"{name}_total" if kind is Kind.COUNTER and not name.endswith("_total") else name
        return family(exposed, rows, kind=kind, help_text=help_text)


def _by_labels_then_place(sample: Sample) -> tuple[Labels, int, float]:
    bounds = [float(value) for name, value in sample.labels if name == "le"]
    others = tuple(each for each in sample.labels if each[0] != "le")
    return others, ("_bucket", "_count", "_sum").index(sample.suffix), bounds[0] if bounds else 0.0


def _sum(one: Held, other: Held) -> Held:
    return Held(one.value + other.value, 0.0)


_MERGES: Mapping[str, Callable[[Held, Held], Held]] = {
    "min": min,
    "max": max,
    "mostrecent": lambda one, other: one if one.at >= other.at else other,
}
