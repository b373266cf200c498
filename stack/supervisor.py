"""Keeps children running: starts them in dependency order, restarts what dies, stops all of it within a deadline.

Every child runs under its own guard (`stack.guard`) in its own session: when the supervisor is killed, however hard,
the guards stop what they guard.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil

from stack import guard
from stack.child import Child, Event, Phase, StartError
from stack.gates import is_open
from stack.log import BoundedLog

MARK = "GRACE_GUARDED"
"""Environment variable that says which supervisor and child a process belongs to."""
PROBE_EVERY = 0.1
STOP_SECONDS = 9.0
"""All children are gone this long after `stop` was called; the stubborn by SIGKILL."""
BACKOFF_FIRST = 0.5
BACKOFF_MOST = 30.0
LAST_WORDS_SECONDS = 1.0
"""How long an ended child's output is waited for."""
STEADY_SECONDS = 60.0
"""A child that ran this long begins again with the shortest backoff."""


@dataclass(slots=True)
class _Kept:
    """What the supervisor knows of one child."""

    child: Child
    log: BoundedLog
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    guard: asyncio.subprocess.Process | None = None
    pid: int | None = None
    restarts: int = 0


class Supervisor:
    """Runs children below one folder of logs. `report` hears every change of phase, in this process's event loop."""

    def __init__(
        self, children: Sequence[Child], logs: Path, http: aiohttp.ClientSession, report: Callable[[Event], None]
    ):
        self._kept = {child.name: _Kept(child, BoundedLog(logs / f"{child.name}.log")) for child in children}
        self._http = http
        self._report = report
        self._stopping = False
        _check_order(self._kept)

    @property
    def pids(self) -> dict[str, int]:
        """The pid of every running child (the program itself, not its guard)."""
        return {name: kept.pid for name, kept in self._kept.items() if kept.pid is not None}

    @property
    def restarts(self) -> Mapping[str, int]:
        """How often each child was started again."""
        return {name: kept.restarts for name, kept in self._kept.items()}

    async def start(self) -> None:
        """Returns when every child is ready. Raises StartError as soon as one ends or is late; stop the rest then."""
        for kept in self._kept.values():
            self._report(Event(kept.child.name, Phase.WAITING))
            kept.task = asyncio.create_task(self._keep(kept), name=f"keep {kept.child.name}")
        all_ready = asyncio.create_task(self._all_ready(), name="all ready")
        keepers = [kept.task for kept in self._kept.values() if kept.task is not None]
        try:
            await asyncio.wait([all_ready, *keepers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            all_ready.cancel()
        for keeper in keepers:
            if keeper.done():
                keeper.result()

    async def stop(self) -> None:
        """Stops everything, what depends on others first; returns when nothing is left, within `STOP_SECONDS`."""
        self._stopping = True
        stops = [asyncio.create_task(self._stop_one(kept), name=f"stop {name}") for name, kept in self._kept.items()]
        _, late = await asyncio.wait(stops, timeout=STOP_SECONDS) if stops else (set(), set())
        if late:
            for kept in self._kept.values():
                _signal(kept.guard, signal.SIGQUIT)
            await asyncio.wait(late)
        keepers = [kept.task for kept in self._kept.values() if kept.task is not None]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        for kept in self._kept.values():  # what was just being started when the stop came
            if kept.guard is not None and kept.guard.returncode is None:
                _signal(kept.guard, signal.SIGQUIT)
                await kept.guard.wait()

    async def _all_ready(self) -> None:
        await asyncio.gather(*(kept.ready.wait() for kept in self._kept.values()))

    async def _keep(self, kept: _Kept) -> None:
        """One child's life: wait for what it needs, run, run again. Raises StartError at the first start only."""
        for name in kept.child.after:
            await self._kept[name].ready.wait()
        backoff = BACKOFF_FIRST
        while not self._stopping:
            began = time.monotonic()
            why = await self._run_once(kept)
            if self._stopping:
                return
            if not kept.ready.is_set():
                raise StartError(f"{kept.child.name} {why} (log: {kept.log.path})")
            backoff = BACKOFF_FIRST if time.monotonic() - began > STEADY_SECONDS else backoff
            kept.restarts += 1
            self._report(Event(kept.child.name, Phase.RESTARTING, f"{why}; starting it again in {backoff:g} s"))
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, BACKOFF_MOST)

    async def _run_once(self, kept: _Kept) -> str:
        """Runs the child until it ends; says how it ended."""
        self._report(Event(kept.child.name, Phase.STARTING))
        started_at = time.time()
        process, follow = await self._spawn(kept)
        gate = asyncio.create_task(self._await_ready(kept, started_at), name=f"gate {kept.child.name}")
        ended = asyncio.create_task(process.wait(), name=f"wait {kept.child.name}")
        try:
            await asyncio.wait([gate, ended], return_when=asyncio.FIRST_COMPLETED)
            late = not ended.done() and not gate.result()
            if late:
                process.send_signal(signal.SIGTERM)
            code = await ended
            if code < 0:  # the guard itself was killed: nobody has cleared up below it
                await asyncio.to_thread(_sweep, self._mark(kept.child))
            await asyncio.wait([follow], timeout=LAST_WORDS_SECONDS)
            return _how_it_ended(code, kept, late)
        finally:
            kept.pid = None
            for task in (gate, follow, ended):
                task.cancel()
            await asyncio.gather(gate, follow, ended, return_exceptions=True)

    async def _spawn(self, kept: _Kept) -> tuple[asyncio.subprocess.Process, asyncio.Task[None]]:
        """The child's guard, and the task that keeps what the child prints."""
        child = kept.child
        (pid_reader, pid_writer), (out_reader, out_writer) = os.pipe(), os.pipe()
        follow = asyncio.create_task(kept.log.follow(out_reader), name=f"log {child.name}")
        try:
            kept.guard = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), str(pid_writer)),
                *(str(int(child.stop_signal)), str(child.stop_timeout), *child.argv),
                env={**os.environ, **child.env, MARK: self._mark(child)},
                cwd=child.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out_writer,
                stderr=out_writer,
                start_new_session=True,
                pass_fds=(pid_writer,),
            )
        except BaseException:
            os.close(pid_reader)
            follow.cancel()
            raise
        finally:
            os.close(pid_writer)
            os.close(out_writer)
        kept.pid = await asyncio.to_thread(_read_pid, pid_reader)
        return kept.guard, follow

    def _mark(self, child: Child) -> str:
        return f"{os.getpid()}:{child.name}"

    async def _await_ready(self, kept: _Kept, started_at: float) -> bool:
        """True once every gate is open; False when the child is late."""
        deadline = time.monotonic() + kept.child.ready_timeout
        while not await is_open(kept.child, self._http, started_at):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(PROBE_EVERY)
        kept.ready.set()
        self._report(Event(kept.child.name, Phase.READY, f"after {time.time() - started_at:.1f} s"))
        return True

    async def _stop_one(self, kept: _Kept) -> None:
        for other in self._kept.values():
            if kept.child.name in other.child.after:
                await other.gone.wait()
        running = kept.guard is not None and kept.guard.returncode is None
        if running and kept.guard is not None:
            self._report(Event(kept.child.name, Phase.STOPPING))
            _signal(kept.guard, signal.SIGTERM)
            await kept.guard.wait()
            self._report(Event(kept.child.name, Phase.STOPPED))
        kept.gone.set()


def _read_pid(pipe: int) -> int | None:
    with os.fdopen(pipe) as told:
        return int(told.read() or 0) or None


def _signal(process: asyncio.subprocess.Process | None, number: signal.Signals) -> None:
    if process is not None and process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


def _sweep(mark: str) -> None:
    """Kills every process that carries this mark in its environment."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                process.kill()


def _how_it_ended(code: int, kept: _Kept, late: bool) -> str:
    said = f": {line}" if (line := kept.log.last_line()) else ""
    if late:
        return f"was not ready within {kept.child.ready_timeout:g} s{said}"
    number = -code if code < 0 else code - 128
    if number in signal.valid_signals():
        return f"was ended by {signal.Signals(number).name}{said}"
    return f"ended with exit code {code}{said}"


def _check_order(kept: Mapping[str, _Kept]) -> None:
    """Raises ValueError for a dependency that is unknown or goes in a circle."""
    done: set[str] = set()
    while len(done) < len(kept):
        free = [name for name, one in kept.items() if name not in done and done.issuperset(one.child.after)]
        if not free:
            raise ValueError(f"these children wait for each other or for unknown ones: {sorted(set(kept) - done)}")
        done.update(free)
