"""The five series a web worker fills, in prometheus-client's default registry or its multiprocess directory."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

# The catalog's edges for latency (0.35 s and 0.5 s) are bounds, so that "p95 is at the edge" is exact.
DURATION_BOUNDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5),
    *(0.6, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0),
)
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
UNMATCHED = "unmatched"
"""The route of a request that no route template matched: a stranger's path never becomes a label."""

LONGEST_QUEUEING = 600.0
"""Seconds before now that an `X-Request-Start` may lie; older, or in the future, it is not believed."""

FLUSH_EVERY = 0.25
"""Seconds between updates of the busy counter while a long request runs."""

_trackers: weakref.WeakKeyDictionary[CollectorRegistry, RequestTracker] = weakref.WeakKeyDictionary()
_trackers_lock = threading.Lock()


def request_started(header: str | None, now: float) -> float | None:
    """The epoch second at which a balancer took the request, from `X-Request-Start: t=…`; None if it is not credible.

    Seconds, milliseconds and microseconds since the epoch are understood, with or without `t=`.
    """
    if not header:
        return None
    try:
        written = float(header.strip().removeprefix("t="))
    except ValueError:
        return None
    for scale in (1.0, 1e3, 1e6):
        if 0.0 <= now - written / scale <= LONGEST_QUEUEING:
            return written / scale
    return None


class BusyClock:
    """Seconds in which at least one request was being handled; each counts once, however many requests run."""

    def __init__(self, add: Callable[[float], None], now: Callable[[], float] = time.monotonic) -> None:
        self._add = add
        self._now = now
        self._lock = threading.Lock()
        self._busy = threading.Event()
        self._active = 0
        self._since = 0.0
        self._flusher: threading.Thread | None = None

    def enter(self) -> None:
        """A request begins."""
        with self._lock:
            if self._active == 0:
                self._since = self._now()
                self._busy.set()
                if self._flusher is None:
                    self._flusher = threading.Thread(target=self._keep_flushing, name="grace-busy-clock", daemon=True)
                    self._flusher.start()
            self._active += 1

    def leave(self) -> None:
        """A request that had entered ends."""
        with self._lock:
            self._flush()
            self._active -= 1
            if self._active == 0:
                self._busy.clear()

    def flush(self) -> None:
        """Count the time up to now, if busy."""
        with self._lock:
            if self._active:
                self._flush()

    def _flush(self) -> None:
        now = self._now()
        self._add(max(0.0, now - self._since))
        self._since = now

    def _keep_flushing(self) -> None:
        # A thread, not a task of the loop: a handler that blocks the loop is exactly when this must go on counting.
        while True:
            self._busy.wait()
            time.sleep(FLUSH_EVERY)
            self.flush()


class RequestTracker:
    """Counts what one worker process handles. `begin` before a request, `end` after it, from any thread.

    A process that has one is a worker; one that forks before it has served anything (gunicorn's `preload_app`) is a
    master, and its children are the workers.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if directory:
            os.makedirs(directory, exist_ok=True)
        self._duration = Histogram(
            "grace_http_request_duration_seconds",
            "Time to answer a request, by method and route template.",
            ("method", "route"),
            buckets=DURATION_BOUNDS,
            registry=registry,
        )
        self._requests = Counter(
            "grace_http_requests_total",
            "Requests answered, by method, route template and status code.",
            ("method", "route", "code"),
            registry=registry,
        )
        self._in_progress = Gauge(
            "grace_http_requests_in_progress",
            "Requests being handled now.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._workers = Gauge(
            "grace_http_workers", "Worker processes alive.", multiprocess_mode="livesum", registry=registry
        )
        self._busy_seconds = Counter(
            "grace_http_busy_seconds_total",
            "Seconds in which a worker was handling at least one request.",
            registry=registry,
        )
        self._start_counting()
        os.register_at_fork(after_in_parent=self._after_fork_in_parent, after_in_child=self._after_fork_in_child)

    def _start_counting(self) -> None:
        self._pid = os.getpid()
        self._served = False
        self._lock = threading.Lock()
        self._clock = BusyClock(self._busy_seconds.inc)
        # A dead worker's files may lie there under our pid.
        self._in_progress.set(0)
        self._workers.set(1)

    def _after_fork_in_parent(self) -> None:
        if not self._served:
            self._workers.set(0)

    def _after_fork_in_child(self) -> None:
        if not self._served:
            self._start_counting()

    def begin(self) -> None:
        """A request begins."""
        if self._pid != os.getpid():
            self._start_counting()
        if not self._served:
            self._served = True
            self._workers.set(1)
        self._in_progress.inc()
        self._clock.enter()

    def end(self, method: str, route: str, code: int, seconds: float) -> None:
        """A request that had begun was answered with status `code` after `seconds`."""
        self._clock.leave()
        self._in_progress.dec()
        method = method if method in KNOWN_METHODS else "other"
        self._duration.labels(method, route).observe(max(0.0, seconds))
        self._requests.labels(method, route, str(code)).inc()


def tracker_for(registry: CollectorRegistry | None = None) -> RequestTracker:
    """The registry's one tracker; the default registry's where none is given."""
    home = REGISTRY if registry is None else registry
    with _trackers_lock:
        tracker = _trackers.get(home)
        if tracker is None:
            tracker = _trackers[home] = RequestTracker(home)
        return tracker


class Stopwatch:
    """How long a request took: from the balancer's `X-Request-Start` where given and credible, else from now."""

    def __init__(self, started_header: str | None) -> None:
        now = time.time()
        began = request_started(started_header, now)
        self._queued = now - began if began is not None else 0.0
        self._from = time.perf_counter()

    def seconds(self) -> float:
        return self._queued + time.perf_counter() - self._from
