"""Which share of the last seconds somebody was busy."""

from __future__ import annotations

import threading
from collections import deque


class BusyShare:
    """Keeps the stretches of work of the last `window` seconds; for several threads. Times are monotonic seconds."""

    def __init__(self, window: float, started_at: float) -> None:
        self._window = window
        self._started_at = started_at
        self._done: deque[tuple[float, float]] = deque()
        self._since: float | None = None
        self._lock = threading.Lock()

    def begin(self, now: float) -> None:
        """Work begins."""
        with self._lock:
            self._since = now

    def end(self, now: float) -> None:
        """The work that began last ends."""
        with self._lock:
            if self._since is not None:
                self._done.append((self._since, now))
                self._since = None

    def share(self, now: float) -> float:
        """Between 0 and 1, over the window (or the shorter time since the start)."""
        oldest = max(now - self._window, self._started_at)
        with self._lock:
            while self._done and self._done[0][1] <= oldest:
                self._done.popleft()
            stretches = [*self._done, *([(self._since, now)] if self._since is not None else [])]
        if now <= oldest:
            return 0.0
        return min(1.0, sum(end - max(start, oldest) for start, end in stretches) / (now - oldest))
