"""Runs every probe at its own interval: one flight at a time, each within its deadline, none in another's way."""

from __future__ import annotations

import asyncio
import contextlib
import math
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from exporter.blocking import COMPUTING
from exporter.collectors.base import CollectError, Collector, Probe
from exporter.families import Reading
from exporter.snapshot import Key, Prepared, Snapshot, prepare

log = structlog.get_logger(__name__)

MANY_SAMPLES = 500
"""From so many on a reading is rendered in a thread, so that scrapes need not wait for it."""


@dataclass(slots=True)
class Schedule:
    """Collectors by name, each of whose probes runs until it is replaced or all is stopped."""

    snapshot: Snapshot
    clock: Callable[[], float]
    collectors: dict[str, Collector] = field(default_factory=dict)
    _tasks: dict[str, Sequence[asyncio.Task[None]]] = field(default_factory=dict)

    async def run(self, collectors: dict[str, Collector]) -> None:
        """From now on run these: every new probe at once, then each at its interval. A collector that stays goes on."""
        gone = [name for name, collector in self.collectors.items() if collectors.get(name) is not collector]
        await self._end(gone)
        new = [name for name in collectors if name not in self.collectors]
        self.collectors.update({name: collectors[name] for name in new})
        self.snapshot.expect(_keyed(self.collectors))
        for name in new:
            self._tasks[name] = [
                asyncio.create_task(self._repeat(key, probe), name=f"probe {key}")
                for key, probe in _keyed({name: collectors[name]})
            ]

    async def stop(self) -> None:
        """End all probes (one that hangs in a thread is left behind) and close the collectors."""
        await self._end(list(self.collectors))

    async def once(self, collectors: dict[str, Collector]) -> None:
        """Collect everything a single time."""
        self.snapshot.expect(_keyed(collectors))
        await asyncio.gather(*(self._attempt(key, probe) for key, probe in _keyed(collectors)))

    async def _prepared(self, reading: Reading, at: float) -> Prepared:
        if sum(len(each.samples) for each in reading.families) + len(reading.measured) < MANY_SAMPLES:
            return prepare(reading, self.snapshot.max_series, at)
        return await asyncio.to_thread(self._prepared_alone, reading, at)

    def _prepared_alone(self, reading: Reading, at: float) -> Prepared:
        with COMPUTING:
            return prepare(reading, self.snapshot.max_series, at)

    async def _end(self, names: Iterable[str]) -> None:
        for name in names:
            collector, tasks = self.collectors.pop(name), self._tasks.pop(name)
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await collector.close()

    async def _repeat(self, key: Key, probe: Probe) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            await self._attempt(key, probe)
            # On the grid of its interval: a slow collection skips a turn rather than shifting all later ones.
            turns = math.floor((loop.time() - begun) / probe.pace.interval) + 1
            await asyncio.sleep(begun + turns * probe.pace.interval - loop.time())

    async def _attempt(self, key: Key, probe: Probe) -> None:
        loop = asyncio.get_running_loop()
        at, begun = self.clock(), loop.time()
        outcome: Prepared | CollectError
        try:
            # Not wait_for: on Python 3.11 it swallows a cancellation that comes together with the answer.
            async with asyncio.timeout(probe.pace.deadline):
                outcome = await self._prepared(await probe.collect(), at)
        except TimeoutError:
            outcome = CollectError(f"no answer within {probe.pace.deadline:g} s")
        except CollectError as error:
            outcome = error
        except Exception as error:  # One collector's fault, whatever it is, must not end the others.
            # Its words may quote what it read, a secret too: where it happened is enough.
            outcome = CollectError(f"{type(error).__name__} in the collector ({_place(error)})")
        took = loop.time() - begun
        if isinstance(outcome, CollectError):
            if self.snapshot.failed(key, str(outcome), took, outcome.dropped):
                log.warning("collector failed", collector=key[0], probe=key[1], reason=str(outcome))
            return
        before = self.snapshot.states[key].dropping
        if self.snapshot.succeeded(key, probe, outcome, took):
            log.info("collector recovered", collector=key[0], probe=key[1])
        if outcome.dropped and not before:
            most = self.snapshot.max_series
            log.warning("series dropped", collector=key[0], probe=key[1], dropped=outcome.dropped, max_series=most)


def _place(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


def _keyed(collectors: dict[str, Collector]) -> list[tuple[Key, Probe]]:
    """Every probe by its collector's name and its own; a second one of that name has its number behind it."""
    found: list[tuple[Key, Probe]] = []
    for name, collector in collectors.items():
        known: Counter[str] = Counter()
        for probe in collector.probes:
            known[probe.name] += 1
            number = known[probe.name]
            found.append(((name, probe.name if number == 1 else f"{probe.name} ({number})"), probe))
    return found
