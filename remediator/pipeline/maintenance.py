"""Maintenance windows: recurring times (RFC 5545) in which nothing new starts on what they cover."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from catalog.policy import MaintenanceWindow

if TYPE_CHECKING:
    from dateutil.rrule import rrule, rruleset


def covering(windows: Iterable[MaintenanceWindow], target: str, now: float) -> MaintenanceWindow | None:
    """The first window that covers this target at `now` (epoch seconds), or None.

    A window begins at its wall-clock time: 02:00 stays 02:00 over a change of clocks. It lasts its duration in real
    seconds. A beginning that the change skips is taken at the moment the clock jumps over it.
    """
    for window in windows:
        if (not window.targets or target in window.targets) and _is_open(window, now):
            return window
    return None


def _is_open(window: MaintenanceWindow, now: float) -> bool:
    zone = ZoneInfo(window.timezone)
    moment = datetime.fromtimestamp(now, zone)
    # A day of slack on the early side: clocks change by less. A jump forward can move a beginning by an hour or two.
    local = moment.replace(tzinfo=None)
    since = local - timedelta(seconds=window.duration, days=1)
    for begin in _rule(window.rrule).between(since, local + timedelta(hours=3), inc=True):
        began = begin.replace(tzinfo=zone).astimezone(UTC).timestamp()
        if began <= now < began + window.duration:
            return True
    return False


@lru_cache(maxsize=64)
def _rule(text: str) -> rrule | rruleset:
    from dateutil.rrule import rrulestr  # most teams have no window

    # A fixed beginning, so that INTERVAL=2 means the same weeks every year.
    return rrulestr(text, dtstart=datetime(2020, 1, 1), cache=True)  # noqa: DTZ001  # local time of the window's zone
