"""Gives every due incident to its stage, and drives the runs that no incident drives.

States are rows: waiting costs nothing, and whoever starts after a crash finds what is due. One task per incident at a
time; `wake()` is called whenever something became due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from sqlalchemy.engine import Connection

from remediator import crash
from remediator.errors import GraceError
from remediator.ledger import incidents, runs
from remediator.ledger.engine import LedgerUnavailable
from remediator.ledger.incidents import ForbiddenMove, LeaseLost
from remediator.model import Incident, IncidentState, Run, RunState
from remediator.pipeline import hand, life, notice
from remediator.pipeline.parts import Parts

log = structlog.get_logger(__name__)

AT_ONCE = 16
"""Incidents worked on at the same time."""
IDLE = 1.0
"""Seconds between looks when nothing woke us."""
PAUSE_AFTER_FAILURE = 10.0


class Scheduler:
    """Owns one task per thing that is being worked on; `run()` until cancelled."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._due = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}

    def wake(self) -> None:
        """Something may be due."""
        self._due.set()

    async def run(self) -> None:
        """Work until cancelled; then wait for what is being done, so that no step is cut off in its middle."""
        try:
            while True:
                self._due.clear()
                try:
                    await self._look()
                except LedgerUnavailable as error:
                    log.error("scheduler_waits", error=str(error))
                try:
                    async with asyncio.timeout(IDLE):
                        await self._due.wait()
                except TimeoutError:
                    continue
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks.values(), timeout=5.0)
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def settle(self) -> None:
        """Work until nothing is due at the clock's present: what a test does between two moves of its clock."""
        while True:
            self._due.clear()
            await self._look()
            if not self._tasks and not self._due.is_set():
                return
            await asyncio.gather(*self._tasks.values())

    async def _look(self) -> None:
        parts = self._parts
        if await notice.drain(parts):
            crash.point("after_notice")
        now = parts.clock.now()
        due, alone, held, releases = await parts.ledger.read(lambda connection: _due(connection, now))
        for incident_id in due:
            self._start(incident_id, partial(self._advance, incident_id))
        for run in alone:
            self._start(run.id, partial(hand.carry_on, parts, run))
        for run in held:
            self._start(run.id, partial(hand.settle_held, parts, run))
        for run in releases:
            self._start(run.id, partial(self._release, run))

    def _start(self, key: str, work: Callable[[], Awaitable[None]]) -> None:
        if key in self._tasks or len(self._tasks) >= AT_ONCE:
            return
        if self._not_before.get(key, 0.0) > self._parts.clock.now():
            return
        self._not_before.pop(key, None)
        task = asyncio.create_task(self._guard(key, work), name=f"work:{key}")
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._done(key))

    def _done(self, key: str) -> None:
        self._tasks.pop(key, None)
        self._due.set()

    async def _guard(self, key: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except LeaseLost as lost:
            log.warning("lease_lost", what=key, error=str(lost))
        except (GraceError, ForbiddenMove) as error:
            self._pause(key)
            log.warning("work_failed", what=key, error=str(error))
        except Exception:  # One incident's bug must not stop the others: it is told, and tried again after a pause.
            self._pause(key)
            log.exception("work_crashed", what=key)

    def _pause(self, key: str) -> None:
        self._not_before[key] = self._parts.clock.now() + PAUSE_AFTER_FAILURE

    async def _advance(self, incident_id: str) -> None:
        parts = self._parts
        claimed = await parts.ledger.write(lambda tx: incidents.claim(tx, incident_id, parts.owner, parts.lease))
        if claimed is None:
            return
        try:
            await life.advance(parts, claimed)
        except LeaseLost:
            raise
        except Exception:
            await self._give_back(claimed)
            raise

    async def _give_back(self, incident: Incident) -> None:
        def free(tx: object) -> None:
            incidents.set_fields(tx, incident.id, lease_until=0)  # type: ignore[arg-type]

        try:
            await self._parts.ledger.write(free)
        except LedgerUnavailable as error:
            log.warning("claim_kept", incident_id=incident.id, error=str(error))

    async def _release(self, run: Run) -> None:
        parts = self._parts
        try:
            await hand.release_step(parts, run)
        except GraceError as error:
            log.info("release_waits", run_id=run.id, why=str(error))
            later = parts.clock.now() + parts.policy.attempt_cooldown
            await parts.ledger.write(lambda tx: runs.update(tx, run.id, release_at=later))


def _due(connection: Connection, now: float) -> tuple[list[str], list[Run], list[Run], list[Run]]:
    """Incidents that are due; runs that nobody drives; runs by hand that wait for people; changes to give back."""
    driven = {
        incident.id
        for incident in incidents.all_open(connection)
        if incident.state in (IncidentState.ACTING, IncidentState.VERIFYING)
    }
    alone = [run for run in runs.unfinished_alone(connection) if run.incident_id not in driven]
    held = [
        run for run in runs.listing(connection, limit=200, states=(RunState.HELD.value,)) if run.incident_id is None
    ]
    return incidents.due(connection, now, AT_ONCE), alone, held, runs.release_due(connection, now)
