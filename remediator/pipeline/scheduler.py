"""Gives every due incident to its stage, and drives the runs that no incident drives.

States are rows: waiting costs nothing, and whoever looks next, here or in another replica, finds what is due. What is
worked on is claimed under a lease first; `wake()` is called whenever something became due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from remediator import crash
from remediator.errors import GraceError, Refused
from remediator.ledger import incidents, leases, runs, work
from remediator.ledger.engine import LedgerUnavailable, Tx
from remediator.ledger.incidents import LeaseLost
from remediator.ledger.leases import Fenced
from remediator.model import Incident, Run
from remediator.pipeline import hand, lasting, life, notice, people
from remediator.pipeline.parts import Parts

log = structlog.get_logger(__name__)

AT_ONCE = 32
"""Incidents and runs worked on at the same time; as many threads may wait for what they act upon."""
IDLE = 1.0
"""Seconds between looks when nothing woke us: another replica may have died, or accepted an alert."""
AGAIN = 1.0
"""Seconds after which a run that could not go on (a freeze, a busy target) is tried again."""
PAUSE_AFTER_FAILURE = 10.0
BEATS = 4
"""How often a lease is renewed before it would end, while its work goes on."""


class Scheduler:
    """Owns one task per thing that is being worked on; `run()` until cancelled."""

    def __init__(self, parts: Parts, crowded: Callable[[], bool] = lambda: False) -> None:
        self._parts = parts
        self._crowded = crowded
        self._due = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._held: set[str] = set()

    def wake(self) -> None:
        """Something may be due."""
        self._due.set()

    async def run(self) -> None:
        """Work until cancelled; then wait for what is being done, so that no step is cut off in its middle."""
        beating = asyncio.create_task(self._beat(), name="leases")
        try:
            while True:
                self._due.clear()
                try:
                    await self._look()
                except LedgerUnavailable as error:
                    log.error("scheduler_waits", error=str(error))
                    await self._parts.clock.sleep(IDLE)
                except Exception:  # A bug in looking must not end all work for good: told, and tried again.
                    log.exception("look_crashed")
                    await self._parts.clock.sleep(IDLE)
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE):
                        await self._due.wait()
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks.values(), timeout=5.0)
            for task in [*self._tasks.values(), beating]:
                task.cancel()
            await asyncio.gather(*self._tasks.values(), beating, return_exceptions=True)

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
        found = await parts.ledger.glance(partial(work.due, now=parts.clock.now()))
        if found.notices:
            await notice.drain(parts, self._crowded)
            crash.point("after_notice")
        room = AT_ONCE - len(self._tasks)
        if room > 0 and (found.incidents or found.notices):
            for incident in await parts.ledger.write(
                lambda tx: incidents.claim_due(tx, parts.owner, parts.lease, room)
            ):
                self._start(f"{incident.id}:{incident.fence}", partial(self._advance, incident))
        for kind, run_id in found.runs:
            if run_id not in self._tasks and len(self._tasks) < AT_ONCE:
                self._start(run_id, partial(self._drive, kind, run_id))

    def _start(self, key: str, work: Callable[[], Awaitable[None]]) -> None:
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
            self._parts.count("leases_lost", 1)
            log.warning("lease_lost", what=key, error=str(lost))
        except GraceError as error:
            log.warning("work_failed", what=key, error=str(error))
        except Exception:  # One incident's bug must not stop the others: it is told, and tried again after a pause.
            log.exception("work_crashed", what=key)

    async def _advance(self, claimed: Incident) -> None:
        """Take an incident through its stages for as long as the next one is due."""
        following: Incident | None = claimed
        while following is not None:
            claimed = following
            await self._stage(claimed)
            following = await self._parts.ledger.glance(partial(incidents.get, incident_id=claimed.id))
            if following is None or following.fence != claimed.fence or following.wake_at is None:
                return
            if following.wake_at > self._parts.clock.now():
                return
            if following == claimed:
                await self._pause(claimed, AGAIN)
                return

    async def _stage(self, claimed: Incident) -> None:
        parts = self._parts
        # Whatever is logged on the way, by whomever: each incident is worked on in a task of its own.
        structlog.contextvars.bind_contextvars(incident_id=claimed.id)
        self._held.add(claimed.id)
        try:
            await life.advance(replace(parts, ledger=Fenced(parts.ledger, claimed)), claimed)
        except LeaseLost:
            raise
        except Exception as error:  # Whatever it was, the claim is given back: else nobody could go on before it ends.
            await self._pause(claimed, PAUSE_AFTER_FAILURE)
            if not isinstance(error, GraceError):
                await self._tell_stuck(claimed, error)
            raise
        finally:
            self._held.discard(claimed.id)

    async def _tell_stuck(self, claimed: Incident, error: Exception) -> None:
        """Nobody looks after an incident that Grace itself stumbles over: people are told, once for each state."""
        with suppress(LedgerUnavailable):  # Told at the next try; the failure itself is in the log.
            await people.tell(
                self._parts,
                f"{claimed.id}:{claimed.state.value}:stuck",
                f"{claimed.metric_id} on {claimed.resource} ({claimed.id}) cannot be worked on while it is "
                f"{claimed.state.value} ({type(error).__name__}); tried again every {PAUSE_AFTER_FAILURE:.0f} s",
                claimed,
            )

    async def _pause(self, claimed: Incident, seconds: float) -> None:
        await self._give_back(lambda tx: incidents.give_back(tx, claimed, tx.now + seconds))

    async def _drive(self, kind: str, run_id: str) -> None:
        """Claim a run that no incident drives, and do what it needs now."""
        parts = self._parts
        claimed = await parts.ledger.write(lambda tx: runs.claim(tx, run_id, parts.owner, parts.lease))
        if claimed is None:
            return
        structlog.contextvars.bind_contextvars(run_id=run_id)
        self._held.add(run_id)
        wait = AGAIN
        try:
            await DRIVES[kind](replace(parts, ledger=Fenced(parts.ledger, claimed)), claimed)
        except LeaseLost:
            raise
        except Exception:  # Whatever it was, it is not tried again at once: the claim is given back for later.
            wait = PAUSE_AFTER_FAILURE
            raise
        finally:
            self._held.discard(run_id)
            # Not given back at once: what could not go on now would be tried again without end.
            await self._give_back(partial(runs.renew, run=claimed, lease=wait))

    async def _give_back(self, end: Callable[[Tx], None]) -> None:
        try:
            await self._parts.ledger.write(end)
        except (LedgerUnavailable, LeaseLost) as error:
            log.info("claim_not_given_back", error=str(error))

    async def _beat(self) -> None:
        """Hold what is being worked on, for as long as this process lives."""
        parts = self._parts
        while True:
            await asyncio.sleep(parts.lease / BEATS)
            held = tuple(self._held)
            if held:
                with suppress(LedgerUnavailable):  # The ledger has told it; the claims end by themselves.
                    await parts.ledger.write(lambda tx, held=held: leases.keep(tx, held, parts.owner, parts.lease))  # type: ignore[misc]


async def _release(parts: Parts, run: Run) -> None:
    """Give a healed change back by one step, with the target to itself; later, when it may not be now."""
    try:
        # Before the target is taken: of two that are due at once, the one that has to wait must not keep it.
        needed = await lasting.still_needed(parts, run)
        if needed is not None:
            raise Refused(needed, reason="still_needed")
        await parts.ledger.write(lambda tx: runs.occupy(tx, run.id))
        try:
            await hand.release_step(parts, run)
        finally:
            await parts.ledger.write(lambda tx: runs.leave(tx, run.id))
    except LeaseLost:
        raise
    except GraceError as error:
        log.info("release_waits", run_id=run.id, why=str(error))
        later = parts.clock.now() + parts.policy.attempt_cooldown
        await parts.ledger.write(lambda tx: runs.update(tx, run.id, release_at=later))


DRIVES: Mapping[str, Callable[[Parts, Run], Awaitable[None]]] = {
    "carry_on": hand.carry_on,
    "settle_held": hand.settle_held,
    "release": _release,
}
