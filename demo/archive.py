"""Keeps records on the demo volume, the old ones below `expired/`.

In a blackout it also sweeps away a shard's pid file, as careless cleaners do, and puts it back afterwards.
`python -m demo.archive --volume FOLDER --run FOLDER --faults FILE`
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from demo.faults import FaultFile

QUOTA = 64 * 1024 * 1024
"""Bytes that the volume may hold."""
RECORD = 1024 * 1024
"""Bytes of one record."""
KEPT = 13
"""Records in use: a fifth of the quota."""
EXPIRED = 6
"""Records that lie below `expired/` at the start: with those in use, 30 % of the quota."""
TICK = 0.5
REWRITE_EVERY = 5.0
_DUMP = "dump-"
_SWEPT = ".swept"


def write_volume(volume: Path) -> None:
    """Make the volume with its records, where they are missing; expired ones only on a new volume."""
    fresh = not volume.exists()
    (volume / "expired").mkdir(parents=True, exist_ok=True)
    for number in range(KEPT):
        record = volume / f"record-{number:02}"
        if not record.exists():
            record.write_bytes(bytes(RECORD))
    for number in range(EXPIRED if fresh else 0):
        (volume / "expired" / f"record-{number:02}.old").write_bytes(bytes(RECORD))


class Archive:
    """Rewrites a record now and then; when dumps go wild, leaves many expired ones behind, once each time."""

    def __init__(self, volume: Path, run: Path, faults: FaultFile, now: float) -> None:
        self._volume = volume
        self._run = run
        self._faults = faults
        self._rewritten = now
        self._number = 0
        self._marker = volume.with_name("dumped")

    def tick(self, now: float) -> None:
        """Do what is due."""
        fault = self._faults.get("disk-fill")
        if fault is not None:
            self._dump(fault.since, int(fault.number("bytes")))
        else:
            self._remove_dumps()
        blackout = self._faults.get("collector-blackout")
        if blackout is not None:
            self._sweep(self._run / f"{blackout.word('shard')}.pid")
        else:
            self._put_back()
        if now - self._rewritten >= REWRITE_EVERY:
            (self._volume / f"record-{self._number % KEPT:02}").write_bytes(bytes(RECORD))
            self._number += 1
            self._rewritten = now

    def _dump(self, since: float, size: int) -> None:
        if self._marker.exists() and self._marker.read_text(encoding="utf-8") == repr(since):
            return
        self._marker.write_text(repr(since), encoding="utf-8")
        for number in range(size // RECORD):
            (self._volume / "expired" / f"{_DUMP}{number:03}.old").write_bytes(bytes(RECORD))

    def _remove_dumps(self) -> None:
        if self._marker.exists():
            for dump in (self._volume / "expired").glob(f"{_DUMP}*"):
                dump.unlink(missing_ok=True)
            self._marker.unlink()

    @staticmethod
    def _sweep(pidfile: Path) -> None:
        if pidfile.exists():
            pidfile.replace(pidfile.with_suffix(_SWEPT))

    def _put_back(self) -> None:
        for swept in self._run.glob(f"*{_SWEPT}"):
            pidfile = swept.with_suffix(".pid")
            if pidfile.exists():  # its process has been started anew
                swept.unlink()
            else:
                swept.replace(pidfile)


def _main(volume: Path, run: Path, faults: Path) -> None:
    archive = Archive(volume, run, FaultFile(faults), time.time())
    while True:
        archive.tick(time.time())
        time.sleep(TICK)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="demo.archive", description=__doc__)
    parser.add_argument("--volume", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="the folder of the workload's pid files")
    parser.add_argument("--faults", type=Path, required=True)
    given = parser.parse_args()
    _main(given.volume, given.run, given.faults)
