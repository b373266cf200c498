"""`grace up`: the whole loop in the foreground, from nothing to all green, and back to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

import demo.layout
import demo.workload
from catalog.fault import CatalogError
from catalog.model import TimeScale
from stack import configure, record
from stack.child import Event, Phase, StartError
from stack.children import children
from stack.configure import Plan, Written
from stack.display import Display
from stack.lock import data_lock
from stack.ports import Ports, inner_ports, is_free, settled
from stack.problem import Unusable
from stack.status import StatusReader
from stack.supervisor import Supervisor
from stack.tools import Tool, ToolsMissing, find_all, tools_folder

REFRESH_SECONDS = 3.0
LEAST_FREE_BYTES = 50_000_000
"""Below this a data folder's disk counts as full: Prometheus alone writes more in minutes."""
LAST_RUN_SECONDS = 6.0
"""How long the remains of a killed run are waited for."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for; 0 as a port asks for any free one."""

    data: Path
    ports: Ports
    scale: TimeScale
    with_demo: bool


def run(request: Request, display: Display) -> None:
    """Starts everything, shows how it stands until SIGINT, SIGTERM or SIGHUP, and stops everything.

    Raises Unusable, with one clear line, when it cannot start; nothing is left behind then either.
    """
    began = time.monotonic()
    with _terminated_as_interrupt(), _clear_errors(request.data):
        request.data.mkdir(parents=True, exist_ok=True)
        data = request.data.resolve()
        with data_lock(data):
            free = shutil.disk_usage(data).free
            if free < LEAST_FREE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(data))
            plan = _plan(request, data)
            try:
                tools = find_all(_needed(plan), tools_folder(data), display.line)
                written = _prepare(plan, display)
                asyncio.run(_Stack(plan, written, tools, display, began).run())
            finally:
                record.remove(data)
                if plan.with_demo:
                    demo.layout.tidy(data)


def _plan(request: Request, data: Path) -> Plan:
    asked = request.ports
    parts = Plan(data, asked, (), request.scale, request.with_demo).parts
    if record.read(data) is not None:
        _await_last_run(asked, parts)
    ports = settled(asked, parts)
    agents = inner_ports(len(demo.workload.Ports().agents), ports)
    return Plan(data, ports, agents, request.scale, request.with_demo)


def _await_last_run(asked: Ports, parts: tuple[str, ...]) -> None:
    """A run that was killed left its record; its guards are just ending what it ran."""
    numbers = [int(asked.address(part).rpartition(":")[2]) for part in parts]
    deadline = time.monotonic() + LAST_RUN_SECONDS
    while time.monotonic() < deadline and not all(is_free(number) for number in numbers if number):
        time.sleep(0.1)


def _needed(plan: Plan) -> list[str]:
    return ["prometheus", "alertmanager", *(["haproxy"] if plan.with_demo else [])]


def _prepare(plan: Plan, display: Display) -> Written:
    written = configure.write(plan)
    for name in written.kept:
        display.line(f"kept your own {name}")
    if plan.with_demo:
        demo.workload.prepare(plan.data, plan.demo_ports, plan.scale)
    return written


class _Stack:
    """One run, from the first child to the last."""

    def __init__(self, plan: Plan, written: Written, tools: dict[str, Tool], display: Display, began: float) -> None:
        self._plan = plan
        self._written = written
        self._tools = tools
        self._display = display
        self._began = began
        self._started_at = time.time()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        async with aiohttp.ClientSession() as http:
            self._supervisor = Supervisor(
                children(self._plan, self._tools), self._plan.data / "logs", http, self._on_event
            )
            try:
                await self._until_stopped(http)
            except StartError as error:
                raise Unusable(str(error)) from error
            finally:
                await self._end()

    async def _until_stopped(self, http: aiohttp.ClientSession) -> None:
        start = asyncio.create_task(self._supervisor.start(), name="start")
        stop = asyncio.create_task(self._stop.wait(), name="stop asked for")
        watch: asyncio.Task[None] | None = None
        try:
            await asyncio.wait([start, stop], return_when=asyncio.FIRST_COMPLETED)
            if not start.done():
                return
            start.result()
            self._record()
            self._display.running(self._plan.urls)
            self._display.line(f"sign in to the remediator's page with the token in {self._plan.token}")
            self._display.line(f"all green in {time.monotonic() - self._began:.1f} s")
            watch = asyncio.create_task(self._watch(http), name="watch")
            await asyncio.wait([watch, stop], return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
        finally:
            tasks = [task for task in (start, stop, watch) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, http: aiohttp.ClientSession) -> None:
        reader = StatusReader(self._written.config, self._written.catalog, http)
        while True:
            self._display.status(await reader.read())
            await asyncio.sleep(REFRESH_SECONDS)

    async def _end(self) -> None:
        began = time.monotonic()
        await self._supervisor.stop()
        self._display.line(f"everything stopped in {time.monotonic() - began:.1f} s")

    def _on_event(self, event: Event) -> None:
        if event.phase is Phase.READY:
            self._record()
        self._display.event(event)

    def _record(self) -> None:
        try:
            record.write(self._plan, os.getpid(), self._supervisor.pids, self._started_at)
        except OSError as error:
            # A disk that fills while everything runs must not take the supervision down with it.
            self._display.line(f"{self._plan.data / record.RECORD} was not written: {error.strerror}")


@contextlib.contextmanager
def _terminated_as_interrupt() -> Iterator[None]:
    """Until the event loop takes over, SIGTERM ends the run as Ctrl-C does: through every `finally`."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _clear_errors(data: Path) -> Iterator[None]:
    try:
        yield
    except (ToolsMissing, CatalogError) as error:
        raise Unusable(str(error)) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise Unusable(f"the disk of {data} is full: free at least {LEAST_FREE_BYTES // 1_000_000} MB") from error
        raise Unusable(f"{error.filename or data} cannot be used: {error.strerror or error}") from error
    except ValueError as error:  # a time scale that the rules cannot be compiled for
        raise Unusable(str(error)) from error
