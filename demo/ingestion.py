"""Learns from the sources, session by session, and obeys the table `control`.

`python -m demo.ingestion --db FILE --sources FOLDER --faults FILE --interval SECONDS`
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path

from demo.faults import FaultFile
from demo.learning import Control, LearningTable
from demo.sources import Document, Exercise, exercise, forbidden_by, passes, read_manifest

PER_SESSION = 8
"""Documents fetched, and sandbox runs made, in one session."""
CADENCE = 0.65
"""Between the starts of sessions, as a share of the learning interval: one or two in any window, never three."""
SESSIONS_ALLOWED = 10
"""Sessions in a learning interval that the rate limit allows at the start."""
TICK = 0.1


def first_rate_limit(interval: float) -> float:
    """Sessions a minute that ingestion may start until somebody throttles it, for this learning interval in seconds."""
    return round(60.0 * SESSIONS_ALLOWED / interval, 3)


def next_start(last: float | None, control: Control, interval: float, flooding: bool, now: float) -> float | None:
    """When the next session may start (epoch seconds); None while paused. The first one starts at once."""
    if control.paused:
        return None
    if last is None:
        return now
    at_least = 60.0 / control.rate_limit if control.rate_limit > 0 else float("inf")
    return last + max(at_least, 0.0 if flooding else CADENCE * interval)


class Ingestion:
    """Does one session after the other. Documents are taken in turn, so that every window sees the same mixture."""

    def __init__(self, table: LearningTable, folder: Path, faults: FaultFile, interval: float) -> None:
        self._table = table
        self._folder = folder
        self._faults = faults
        self._interval = interval
        self._documents = read_manifest(folder)

    def tick(self, now: float) -> bool:
        """Do a session if one is due, and say whether it was."""
        flooding = self._faults.get("ingestion-flood") is not None
        due = next_start(self._table.last_session(), self._table.control(), self._interval, flooding, now)
        if due is None or now < due:
            return False
        self._session(self._table.start_session(now), now)
        return True

    def _session(self, number: int, now: float) -> None:
        first = (number - 1) * PER_SESSION
        for place in range(first, first + PER_SESSION):
            document = self._documents[place % len(self._documents)]
            self._learn(number, document, self._fetch(document, place), now)
            self._table.ran(number, passes(self._exercise(place)), now)

    def _fetch(self, document: Document, place: int) -> str:
        content = (self._folder / document.name).read_text(encoding="utf-8")
        fault = self._faults.get("bad-sources")
        # Spread evenly: of ten documents in a row, share x 10 are altered.
        if fault and (place % 10) * fault.number("share") % 1.0 < fault.number("share"):
            content += "and one more line that nobody signed\n"
        return content

    def _exercise(self, place: int) -> Exercise:
        task = exercise(place)
        fault = self._faults.get("bad-exercises")
        # Spread evenly, the last of every few: the one in twenty that is wrong anyway is among them.
        if fault and int((place + 1) * fault.number("share")) > int(place * fault.number("share")):
            return Exercise(task.numbers, sum(task.numbers) + 1)
        return task

    def _learn(self, number: int, document: Document, content: str, now: float) -> None:
        verified = hashlib.sha256(content.encode()).hexdigest() == document.sha256
        self._table.checked(number, document.origin, document.name, verified, now)
        rule = forbidden_by(content)
        if rule is not None:
            self._table.blocked(number, document.name, rule, now)


def _main(db: Path, sources: Path, faults: Path, interval: float) -> None:
    ingestion = Ingestion(LearningTable(db), sources, FaultFile(faults), interval)
    while True:
        ingestion.tick(time.time())
        time.sleep(TICK)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="demo.ingestion", description=__doc__)
    parser.add_argument("--db", type=Path, required=True)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--faults", type=Path, required=True)
    parser.add_argument("--interval", type=float, required=True, help="the learning interval in seconds")
    given = parser.parse_args()
    _main(given.db, given.sources, given.faults, given.interval)
