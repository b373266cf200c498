"""The workers of one master as a pool that can be resized, by control socket or by signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pydantic import Field

from catalog.model import Frozen
from remediator.clock import Clock
from remediator.drivers.births import Birth
from remediator.drivers.gunicorn.control import Control
from remediator.drivers.gunicorn.master import Master
from remediator.errors import Permanent, Refused, Transient

_POLL = 0.05
# TTIN and TTOU act within a tenth of a second; a master that is just forking takes longer.
_SIGNAL_PATIENCE = 3.0
# Signals of one kind that arrive together are one: they are sent apart.
_BETWEEN_SIGNALS = 0.3
# Seconds in all that a command and looking at what it did may take.
_CONTROL_PATIENCE = 6.0


class Member(Frozen):
    """One master."""

    name: str = Field(min_length=1)
    pidfile: Path
    control: Path | None = None
    """gunicorn's control socket; without it, signals."""
    proc_name: str | None = None
    """The name gunicorn was given (`-n`), checked where given."""


class Pool:
    """One member's workers. Looks the master up anew at every call: masters restart too."""

    def __init__(self, member: Member, clock: Clock) -> None:
        self.name = member.name
        self._member = member
        self._clock = clock

    def master(self) -> Master:
        return Master.find(self.name, self._member.pidfile, self._member.proc_name)

    def workers(self) -> tuple[Birth, ...]:
        """Living workers, the oldest first."""
        return self.master().workers()

    def check_rights(self) -> None:
        """Raises Refused where this process may neither use the control socket nor signal the master."""
        control = self._member.control
        if control is None:
            self.master().check_rights()
        elif not os.access(control, os.R_OK | os.W_OK, effective_ids=True):
            raise Refused(f"may not open gunicorn's control socket {control}", reason="permission")

    async def resize(self, count: int) -> None:
        """Make the master strive for this many workers (at least 1); returns once it has accepted."""
        master = self.master()
        if self._member.control is not None:
            await self._by_control(Control(self._member.control), master, count)
        else:
            await self._by_signals(master, count)

    async def _by_control(self, control: Control, master: Master, count: int) -> None:
        deadline = self._clock.now() + _CONTROL_PATIENCE
        while True:
            try:
                pid, goal = await control.stats()
                if pid != master.pid:
                    raise Permanent(f"{self._member.control} is process {pid}'s, not {self.name}'s ({master.pid})")
                if goal == count:
                    return
                if goal < count:
                    await control.add(count - goal)
                else:
                    await control.remove(goal - count)
            except Transient:
                # The answer is lost when the master forks at once; the command may have been obeyed. Look again.
                if self._clock.now() >= deadline:
                    raise
            if self._clock.now() >= deadline:
                raise Transient(f"gunicorn {self.name} does not keep {count} workers: something else changes it too")
            await self._clock.sleep(_POLL)

    async def _by_signals(self, master: Master, count: int) -> None:
        missing = count - len(master.workers())
        for _ in range(missing):
            before = len(master.workers())
            master.signal(signal.SIGTTIN)
            await self._until(partial(_has_more, master, before), _SIGNAL_PATIENCE, "a further worker")
        for _ in range(-missing):
            # Not waited for one by one: a worker finishes its requests first, as long as they take.
            master.signal(signal.SIGTTOU)
            await self._clock.sleep(_BETWEEN_SIGNALS)

    async def all_serve(self, patience: float) -> None:
        """Wait until every worker has booted. Raises Transient after `patience` seconds."""
        await self._until(self._all_serving, patience, "its new worker to boot")

    def _all_serving(self) -> bool:
        master = self.master()
        return all(master.serves(worker) for worker in master.workers())

    async def gone(self, worker: Birth, kill_after: float) -> None:
        """Wait until this worker has ended; after `kill_after` seconds it is killed."""
        try:
            await self._until(lambda: worker not in self.workers(), kill_after, "an old worker to end")
        except Transient:
            self.master().signal_worker(worker, signal.SIGKILL)
            await self._until(lambda: worker not in self.workers(), _SIGNAL_PATIENCE, "a killed worker to end")

    async def _until(self, holds: Callable[[], bool], patience: float, what: str) -> None:
        deadline = self._clock.now() + patience
        while not holds():
            if self._clock.now() >= deadline:
                raise Transient(f"gunicorn {self.name}: waited {patience:g} s for {what}")
            await self._clock.sleep(_POLL)


def _has_more(master: Master, than: int) -> bool:
    return len(master.workers()) > than
