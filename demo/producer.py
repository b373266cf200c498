"""Enqueues tasks at a steady pace, more of them when they flood. `python -m demo.producer --db FILE --faults FILE`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from demo.faults import FaultFile
from demo.tasks import TaskTable

PER_SECOND = 2.0
"""Tasks enqueued a second while all is well."""
COST = 0.25
"""Seconds that one task takes."""
TICK = 0.25
"""Seconds between looks at the clock."""
TIDY_EVERY = 60.0


class Producer:
    """Owes the table `PER_SECOND` tasks a second, and pays whole tasks when they are due. Times are epoch seconds."""

    def __init__(self, table: TaskTable, faults: FaultFile, now: float) -> None:
        self._table = table
        self._faults = faults
        self._paid_until = now
        self._owed = 0.0
        self._tidied = now

    def tick(self, now: float) -> None:
        """Enqueue what has come due. A pause longer than five seconds (a suspended machine) is not made up for."""
        flood = self._faults.get("queue-flood")
        if flood:
            self._table.enqueue_burst(flood.since, int(flood.number("burst")), COST, now)
        rate = PER_SECOND + (flood.number("per_second") if flood else 0.0)
        self._owed += rate * min(max(now - self._paid_until, 0.0), 5.0)
        self._paid_until = now
        whole = int(self._owed)
        if whole:
            self._table.enqueue(whole, COST, now)
            self._owed -= whole
        if now - self._tidied > TIDY_EVERY:
            self._table.forget(now)
            self._tidied = now


def _main(db: Path, faults: Path) -> None:
    producer = Producer(TaskTable(db), FaultFile(faults), time.time())
    while True:
        producer.tick(time.time())
        time.sleep(TICK)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="demo.producer", description=__doc__)
    parser.add_argument("--db", type=Path, required=True)
    parser.add_argument("--faults", type=Path, required=True)
    given = parser.parse_args()
    _main(given.db, given.faults)
