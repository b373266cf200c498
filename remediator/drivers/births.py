"""When a process was born, exactly enough to say "younger than the run's plan".

`psutil.Process.create_time()` rests on the kernel's boot time in whole seconds and may be off by one.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_START_FIELD = 22
_FIRST_AFTER_NAME = 3


@dataclass(frozen=True, slots=True)
class Birth:
    """One life of a pid: equal only for the same process, never for another that got its pid."""

    pid: int
    ticks: int
    """Start in clock ticks since the machine's boot."""
    at: float = field(compare=False)
    """Start in epoch seconds, to a hundredth of a second."""


def birth(pid: int) -> Birth | None:
    """When this process was born; None where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the name in parentheses and may hold spaces and parentheses itself.
    ticks = int(stat.rpartition(")")[2].split()[_START_FIELD - _FIRST_AFTER_NAME])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / _TICKS_PER_SECOND
    return Birth(pid, ticks, round(time.time() - age, 2))
