"""What this machine is doing now, as JSON for people and scripts that do not speak Prometheus."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any

import psutil

from exporter.collectors.base import CollectError
from exporter.collectors.host import busy_and_total
from exporter.collectors.volume import filesystem_usage

MOMENT = 0.1
"""Seconds over which the CPU is looked at."""


def hardware_status(
    clock: Callable[[], float] = time.time, pause: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """CPU, memory, disks (shares 0 to 1, sizes in bytes) and load of this machine. Takes 0.1 s."""
    busy, total = busy_and_total()
    pause(MOMENT)
    busy_then, total_then = busy_and_total()
    passed = total_then - total
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "now": clock(),
        "hostname": socket.gethostname(),
        "boot_time": psutil.boot_time(),
        "cpu": {
            "cores": psutil.cpu_count(),
            "utilization_ratio": min(max((busy_then - busy) / passed, 0.0), 1.0) if passed > 0 else None,
            "load_average": list(os.getloadavg()),
        },
        "memory": {
            "total_bytes": memory.total,
            "available_bytes": memory.available,
            "utilization_ratio": 1 - memory.available / memory.total,
            "swap_total_bytes": swap.total,
            "swap_used_bytes": swap.used,
        },
        "disks": [disk for part in psutil.disk_partitions() if (disk := _disk(part.mountpoint, part.fstype))],
    }


def _disk(mountpoint: str, kind: str) -> dict[str, Any] | None:
    try:
        usage = psutil.disk_usage(mountpoint)
        share = filesystem_usage(mountpoint)
    except (OSError, CollectError):
        # A volume that went away, or that this user may not see.
        return None
    return {
        "mountpoint": mountpoint,
        "filesystem": kind,
        "total_bytes": usage.total,
        "free_bytes": usage.free,
        "usage_ratio": share,
    }
