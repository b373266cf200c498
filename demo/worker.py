"""One worker of the pool: claims a task, does it, claims the next. `python -m demo.worker --db FILE --faults FILE`."""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from pathlib import Path

from demo.busy import BusyShare
from demo.faults import FaultFile
from demo.tasks import HEARTBEAT_EVERY, Task, TaskTable

IDLE_PAUSE = 0.1
"""Seconds between looks at an empty table."""
BUSY_WINDOW = 2.0
"""Seconds over which a worker's busy share is taken."""


class Heart(threading.Thread):
    """Beats for a worker from a thread of its own, so that a worker which hangs still shows as busy."""

    def __init__(self, db: Path, worker: str, busy: BusyShare, stop: threading.Event) -> None:
        super().__init__(name="heart", daemon=True)
        self._db, self._worker, self._busy, self._stop_beating = db, worker, busy, stop

    def run(self) -> None:
        table = TaskTable(self._db)
        while True:
            table.beat(self._worker, os.getpid(), self._busy.share(time.monotonic()), time.time())
            if self._stop_beating.wait(HEARTBEAT_EVERY):
                break
        table.leave(self._worker)
        table.close()


class Worker:
    """Does tasks until told to stop, or until the process that started it is gone."""

    def __init__(self, db: Path, faults: FaultFile, stop: threading.Event) -> None:
        self.name = f"worker-{os.getpid()}-{time.time_ns():x}"
        self._parent = os.getppid()
        self._table = TaskTable(db)
        self._faults = faults
        self._stop = stop
        self._busy = BusyShare(BUSY_WINDOW, time.monotonic())
        self._heart_stop = threading.Event()
        self._heart = Heart(db, self.name, self._busy, self._heart_stop)

    def run(self) -> None:
        """Work; returns in good order, with no task held."""
        self._table.beat(self.name, os.getpid(), 0.0, time.time())
        self._heart.start()
        checked = 0.0
        while not self._ending():
            now = time.time()
            if now - checked > HEARTBEAT_EVERY:
                self._table.requeue_of_dead(now)
                checked = now
            task = self._table.claim(self.name, now)
            if task is None:
                self._stop.wait(IDLE_PAUSE)
            else:
                self._do(task)
        self._heart_stop.set()
        self._heart.join()
        self._table.close()

    def _do(self, task: Task) -> None:
        self._busy.begin(time.monotonic())
        while self._hangs() and not self._ending():
            self._stop.wait(IDLE_PAUSE)
        interrupted = self._stop.wait(task.cost)
        self._busy.end(time.monotonic())
        if interrupted:
            self._table.give_back(task, self.name)
        else:
            self._table.finish(task, self.name, time.time())

    def _hangs(self) -> bool:
        fault = self._faults.get("stuck-worker")
        return fault is not None and fault.word("worker") == self.name

    def _ending(self) -> bool:
        return self._stop.is_set() or os.getppid() != self._parent


def _main(db: Path, faults: Path) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Worker(db, FaultFile(faults), stop).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="demo.worker", description=__doc__)
    parser.add_argument("--db", type=Path, required=True)
    parser.add_argument("--faults", type=Path, required=True)
    given = parser.parse_args()
    _main(given.db, given.faults)
