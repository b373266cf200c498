"""What the exporter says of itself, fresh at every scrape."""

from __future__ import annotations

import contextlib
import math
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from exporter.exposition import Format, join, render_all
from exporter.families import Family, Sample, family, labels_of


@dataclass(slots=True)
class Reloads:
    """How the last reading of a configuration went, and when (epoch seconds) one last succeeded."""

    what: str = "config"
    successful: bool = True
    at: float = 0.0

    def families(self) -> list[Family]:
        """Two gauges, named as Prometheus names its own."""
        return [
            family(
                f"grace_exporter_{self.what}_last_reload_successful",
                [Sample((), float(self.successful))],
                help_text="Whether the configuration was accepted when it was last read.",
            ),
            family(
                f"grace_exporter_{self.what}_last_reload_success_timestamp_seconds",
                [Sample((), self.at)],
                help_text="When a configuration was last accepted.",
            ),
        ]


class OwnMetrics:
    """The tail of every answer: this process, its version, its reloads, and what `more` adds."""

    def __init__(self, reloads: Reloads, more: Callable[[], list[Family]] = list) -> None:
        self._reloads = reloads
        self._more = more
        self._started = started()
        labels = labels_of({"version": version("grace")})
        self._build = family(
            "grace_exporter_build_info", [Sample(labels, 1.0)], help_text="Which version of Grace this is."
        )

    def tail(self, form: Format) -> bytes:
        """Rendered, with the end mark that OpenMetrics wants."""
        families = [*process_families(self._started), self._build, *self._reloads.families(), *self._more()]
        end = b"# EOF\n" if form is Format.OPENMETRICS else b""
        return join(render_all(families), form)[0].content + end


def started() -> float | None:
    """When this process was started (epoch seconds); None where the kernel has no /proc."""
    try:
        boot = next(int(line.split()[1]) for line in (PROC / "stat").read_text().splitlines() if "btime" in line)
        written = (PROC / "self" / "stat").read_text()
    except OSError:
        return None
    # The name before it, in parentheses, may hold anything.
    return boot + int(written.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def process_families(started_at: float | None) -> list[Family]:
    """What Prometheus' client libraries say of a process, under their names.

    With four system calls only: while one waits, threads that collect come in between.
    """
    used, (most, _) = resource.getrusage(resource.RUSAGE_SELF), resource.getrlimit(resource.RLIMIT_NOFILE)
    values: dict[str, float | None] = {
        "process_cpu_seconds_total": used.ru_utime + used.ru_stime,
        "process_max_fds": math.inf if most == resource.RLIM_INFINITY else most,
        "process_start_time_seconds": started_at,
    }
    with contextlib.suppress(OSError):
        pages = _short(PROC / "self" / "statm").split()
        values["process_virtual_memory_bytes"] = int(pages[0]) * resource.getpagesize()
        values["process_resident_memory_bytes"] = int(pages[1]) * resource.getpagesize()
        values["process_open_fds"] = _open_files()
    return [
        family(name, [Sample((), float(value))], help_text=_PROCESS_HELP[name])
        for name, value in values.items()
        if value is not None
    ]


def _short(path: Path) -> bytes:
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 1024)
    finally:
        os.close(file)


def _open_files() -> int:
    folder = PROC / "self" / "fd"
    # Kernels from 6.2 on say it at once; to list them takes a turn for each.
    return folder.stat().st_size or len(os.listdir(folder)) - 1


PROC = Path("/proc")
_PROCESS_HELP = {
    "process_cpu_seconds_total": "User and system CPU time that this process used.",
    "process_max_fds": "File descriptors that it may open.",
    "process_start_time_seconds": "When it was started.",
    "process_virtual_memory_bytes": "Its virtual memory.",
    "process_resident_memory_bytes": "Its resident memory.",
    "process_open_fds": "File descriptors that it has open.",
}
