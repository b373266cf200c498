"""The one place that constructs the exporter's parts, and runs them until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
import time
from collections.abc import Callable

import structlog
from aiohttp import web

from catalog.fault import CatalogError
from exporter.collectors import COLLECTORS
from exporter.collectors.base import Collector, NamedConfig, Setting
from exporter.collectors.events import EventsCollector
from exporter.config import Loaded
from exporter.exposition import Format
from exporter.families import Family, vocabulary_families
from exporter.intake import Intake
from exporter.listener import Listener
from exporter.process import OwnMetrics, Reloads
from exporter.schedule import Schedule
from exporter.snapshot import Snapshot
from exporter.web import Pages

log = structlog.get_logger(__name__)

BETWEEN_TWO_READINGS = 1.0
"""Seconds: shares of CPU time are differences, so `--once` reads twice."""


TURN = 0.0002
"""Seconds that a thread may compute while another one waits."""

YOUNG = 50_000
"""Objects that come to be before the garbage collector looks for cycles. A large reading is made of many, which all go
without it; each look stops scrapes for milliseconds, and would find next to nothing."""


LINGERING = 2.0
"""Seconds in which what a refused sender still sends is read and dropped, so that it hears the refusal."""


class Exporter:
    """The running exporter: what it collects can be replaced while it answers."""

    def __init__(self, load: Callable[[], Loaded], clock: Callable[[], float] = time.time) -> None:
        self._load = load
        self._clock = clock
        self._configs: dict[str, tuple[NamedConfig, Setting]] = {}
        self._reloading = asyncio.Lock()
        self.snapshot = Snapshot(clock, 0)
        self.reloads = Reloads()
        self._schedule = Schedule(self.snapshot, clock)
        self._intake = Intake(self._event_takers)

    async def reload(self) -> None:
        """Read the configuration and collect by it from now on; collectors it leaves as they were are not disturbed.

        Raises CatalogError when it is not accepted: then everything stays as it was.
        """
        async with self._reloading:
            try:
                loaded = await asyncio.to_thread(self._load)
            except CatalogError:
                self.reloads.successful = False
                raise
            await self._schedule.run(self._apply(loaded))
            self.reloads.successful, self.reloads.at = True, self._clock()
        _set_apart()

    def _apply(self, loaded: Loaded) -> dict[str, Collector]:
        self.snapshot.max_series = loaded.exporter.max_series
        self.snapshot.constant = vocabulary_families(loaded.setting.catalog)
        before, self._configs = self._configs, {}
        collectors: dict[str, Collector] = {}
        for config in loaded.exporter.collectors:
            self._configs[config.name] = (config, loaded.setting)
            running = self._schedule.collectors.get(config.name)
            if running is not None and before.get(config.name) == (config, loaded.setting):
                collectors[config.name] = running
            else:
                collectors[config.name] = COLLECTORS[config.collector](config, loaded.setting)
        return collectors

    def pages(self, telemetry_path: str, more: Callable[[], list[Family]] = list) -> Pages:
        """The web pages over what is collected; `more` is exposed too."""
        own = OwnMetrics(self.reloads, lambda: [*self._intake.counts.families(), *more()])
        return Pages(self.snapshot, own, self.reload, lambda: sorted(self._configs), telemetry_path, self._intake)

    def _event_takers(self) -> list[EventsCollector]:
        return [each for each in self._schedule.collectors.values() if isinstance(each, EventsCollector)]

    async def collect_once(self) -> str:
        """Everything collected a single time, as Prometheus' text."""
        collectors = self._apply(self._load())
        await self._schedule.once(collectors)
        await asyncio.sleep(BETWEEN_TWO_READINGS)
        await self._schedule.once(collectors)
        for collector in collectors.values():
            await collector.close()
        return self.snapshot.body(Format.TEXT).content.decode()

    async def stop(self) -> None:
        """Collect no more."""
        await self._schedule.stop()


async def serve(load: Callable[[], Loaded], listener: Listener, telemetry_path: str) -> None:
    """Collect and answer until SIGTERM or SIGINT; SIGHUP reloads.

    Raises CatalogError when the first configuration is not accepted, ListenError when there is nothing to listen on.
    """
    # A scrape takes several turns of the loop, and waits for collecting threads before each: let them give way sooner.
    sys.setswitchinterval(TURN)
    gc.set_threshold(YOUNG)
    exporter = Exporter(load)
    app = exporter.pages(telemetry_path, listener.reloads.families).app()
    listener.door.guard(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0, lingering_time=LINGERING)
    await runner.setup()
    stop, asked = _signals()
    tasks: list[asyncio.Task[None]] = []
    try:
        await exporter.reload()
        await listener.start(runner)
        tasks.append(asyncio.create_task(_reload_whenever(asked, exporter), name="reload on SIGHUP"))
        tasks.append(asyncio.create_task(listener.follow(), name="follow the web configuration"))
        log.info("listening", address=",".join(listener.addresses), probes=len(exporter.snapshot.states))
        await stop.wait()
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await exporter.stop()
        await runner.cleanup()
        listener.close()
    log.info("stopped")


def _set_apart() -> None:
    """Take what lives as long as the configuration out of the garbage collector's rounds: they stop every scrape."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Set when the process is told to stop, and whenever it is told to reload."""
    loop = asyncio.get_running_loop()
    stop, reload = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    return stop, reload


async def _reload_whenever(asked: asyncio.Event, exporter: Exporter) -> None:
    while True:
        await asked.wait()
        asked.clear()
        try:
            await exporter.reload()
        except CatalogError as error:
            log.error("configuration not changed", faults=str(error))
        else:
            log.info("configuration read again")
