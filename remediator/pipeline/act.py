"""Act: intent journaled, then done, then observed, then the result journaled.

A step is desired state. One that was intended and has no result (this process died) is resolved by looking: reached
means done, anything else means doing it again, which is harmless. Freeze, lock and ceiling are read once more in the
transaction that journals the intent, so that nothing begins after a person said stop; and a plan that is no longer
fresh is compared with its target first, so that nothing is done to another world than was seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import structlog

from catalog.inventory import Target
from catalog.model import Verb
from remediator import crash
from remediator.drivers.base import Driver, StepContext
from remediator.errors import GraceError, Permanent, Transient
from remediator.ledger import incidents, runs, settings
from remediator.ledger.engine import Tx
from remediator.model import Incident, PlannedStep, Run, Step
from remediator.pipeline import standing
from remediator.pipeline.decide import current_settings
from remediator.pipeline.lasting import way_back
from remediator.pipeline.parts import Parts
from remediator.pipeline.plan import context_for, target_of_step

log = structlog.get_logger(__name__)

ATTEMPTS = 3
"""Times that a step is tried, when what failed may pass."""


UNDO_FAILED_HOLD = 86400.0
"""Seconds for which a target is held after an undo failed on it."""


class Stopped(GraceError):
    """A person stopped new steps (freeze, lock, a lower ceiling): nothing was done, ask again later."""


class Changed(GraceError):
    """The target is no longer as it was when the plan was made: the step was not begun."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A step that could not be done, and why."""

    index: int
    error: str


async def execute(
    parts: Parts, run: Run, resource: str, incident: Incident | None, ended: Callable[[Tx], None]
) -> Failed | None:
    """Do every step of the run that is not done yet; None when all hold, else what failed.

    What follows a step is written in one transaction with its result: the intent of the next one where that may
    begin, and after the last one whatever `ended` writes.
    Raises Stopped, Changed, or LeaseLost when somebody else has the incident now.
    """
    journal = {step.index: step for step in await _journal(parts, run) if step.phase == "do"}
    left = [index for index in range(len(run.plan)) if index not in journal or journal[index].state != "done"]
    if not left:
        await parts.ledger.write(ended)
    begun: set[int] = set()
    for index, following in zip_longest(left, left[1:]):

        def then(tx: Tx, following: int | None = following) -> None:
            if following is None:
                ended(tx)
            elif following not in journal and _intend_next(tx, parts, run, following, incident):
                begun.add(following)

        step, known = run.plan[index], journal.get(index)
        failed = await perform(
            parts, run, "do", index, step, resource, incident, known, begun=index in begun, then=then
        )
        if failed is not None:
            return failed
    return None


async def undo(parts: Parts, run: Run, resource: str, incident: Incident | None) -> Failed | None:
    """Give back what the run's steps changed, the last one first; None when all is given back.

    A step whose change no longer stands (somebody else changed it since) has nothing to give back.
    """
    journal = await _journal(parts, run)
    undone = {step.index: step for step in journal if step.phase == "undo"}
    for done in sorted((step for step in journal if step.phase == "do"), key=lambda step: -step.index):
        known = undone.get(done.index)
        if known is not None and known.state == "done":
            continue
        try:
            back = await _way_back(parts, run, done, resource)
        except GraceError as error:
            return Failed(done.index, f"could not see what there is to undo: {error}")
        if back is None:
            continue
        failed = await perform(parts, run, "undo", done.index, back, resource, incident, known, a_person=True)
        if failed is not None:
            return failed
    return None


def hold_target(tx: Tx, run: Run, error: str) -> None:
    """Nothing new starts on a target on which an undo failed: nobody knows how it stands until a person has looked."""
    until = tx.now + UNDO_FAILED_HOLD
    settings.hold(tx, run.target, until=until, by="grace", reason=f"undoing {run.id} failed: {error}")


async def perform(
    parts: Parts,
    run: Run,
    phase: str,
    index: int,
    step: PlannedStep,
    resource: str,
    incident: Incident | None,
    known: Step | None = None,
    *,
    a_person: bool = False,
    begun: bool = False,
    then: Callable[[Tx], None] = lambda _: None,
) -> Failed | None:
    """Do one step and journal what came of it; None when its desired state was read back.

    `a_person` marks an undo: allowed under a freeze too. `begun`: its intent is journaled already. `then` is written
    in one transaction with the step's result.
    """
    try:
        target = target_of_step(parts, step)
        driver = parts.drivers[step.driver]
        context = context_for(parts, run, index, resource)
        if phase == "do" and known is None and not begun:
            await _as_seen(parts, run, index, driver, target, context)
    except Changed:
        raise
    except GraceError as error:
        return await _fail(parts, run, phase, index, step, str(error))
    if known is not None and known.state == "intended":
        observed = await _reached(driver, target, step, context)
        if observed is not None:
            await _finish(parts, run, phase, index, observed, incident, then)
            return None
    why = "not tried"
    # Who takes over from a replica that died waits until its step has ended: a child of its may still be at it.
    lease = parts.lease + target.step_timeout
    for attempt in range(1, ATTEMPTS + 1):
        if not begun or attempt > 1:
            await parts.ledger.write(lambda tx: _intend(tx, parts, run, phase, index, step, incident, lease, a_person))
        # Signed and outside the database before anything changes: the intent cannot be denied later.
        await checkpoint(parts)
        crash.point("after_intent")
        try:
            async with asyncio.timeout(target.step_timeout):
                seen = await driver.do(target, step.verb, step.desired, context)
                crash.point("after_effect")
                observed = await _settled(driver, target, step, context, seen)
        except TimeoutError:
            why = f"not reached within {target.step_timeout:g} s"
            observed = await _reached(driver, target, step, context)
            if observed is None:
                break
        except Transient as passing:
            why = str(passing)
            if attempt < ATTEMPTS:
                await parts.clock.sleep(passing.retry_after or float(attempt))
                continue
            break
        except GraceError as lasting:
            why = str(lasting)
            break
        await _finish(parts, run, phase, index, observed, incident, then)
        crash.point("after_step")
        return None
    return await _fail(parts, run, phase, index, step, why)


async def _as_seen(parts: Parts, run: Run, index: int, driver: Driver, target: Target, context: StepContext) -> None:
    """Nothing, when a step's target is as the plan saw it. Raises Changed when it is not."""
    step = run.plan[index]
    if _surely_as_seen(parts, run, index):
        return
    why = standing.departed(driver, step, await _observed(parts, driver, target, step, context))
    if why is not None:
        raise Changed(why)


def _surely_as_seen(parts: Parts, run: Run, index: int) -> bool:
    """Need nobody look whether a step's target is as the plan saw it: it was seen just now, or this run changed it?"""
    if parts.clock.now() - run.created_at <= standing.LATELY:
        return True
    step = run.plan[index]
    return any((each.target, each.driver) == (step.target, step.driver) for each in run.plan[:index])


async def _observed(
    parts: Parts, driver: Driver, target: Target, step: PlannedStep, context: StepContext
) -> Mapping[str, Any]:
    """How the target stands; asked again when what failed may pass. Raises what the driver raises in the end."""
    for attempt in range(1, ATTEMPTS):
        try:
            return await _look(driver, target, step, context)
        except Transient as passing:
            await parts.clock.sleep(passing.retry_after or float(attempt))
    return await _look(driver, target, step, context)


async def _look(driver: Driver, target: Target, step: PlannedStep, context: StepContext) -> Mapping[str, Any]:
    try:
        async with asyncio.timeout(target.step_timeout):
            return await driver.observe(target, step.verb, context)
    except TimeoutError as error:
        raise Transient(f"{target.name} could not be observed within {target.step_timeout:g} s") from error


async def _finish(
    parts: Parts,
    run: Run,
    phase: str,
    index: int,
    after: Mapping[str, Any],
    incident: Incident | None,
    then: Callable[[Tx], None],
) -> None:
    def store(tx: Tx) -> None:
        _renew(tx, run, incident, parts.lease)
        runs.finish(tx, run, phase, index, after=after)
        then(tx)

    await parts.ledger.write(store)


def _renew(tx: Tx, run: Run, incident: Incident | None, lease: float) -> None:
    if incident is not None:
        incidents.renew(tx, incident, lease)
    else:
        runs.renew(tx, run, lease)


async def checkpoint(parts: Parts) -> None:
    """Anchor the audit log's head outside the database."""
    note = await parts.checkpointer.cover(lambda: parts.ledger.head)
    if note is not None:
        log.info("checkpoint", note=note)


def _intend(
    tx: Tx,
    parts: Parts,
    run: Run,
    phase: str,
    index: int,
    step: PlannedStep,
    incident: Incident | None,
    lease: float,
    a_person: bool,
) -> None:
    _renew(tx, run, incident, lease)
    if not a_person:
        _still_allowed(tx, parts, run)
    runs.intend(tx, run, phase, index, step)


def _intend_next(tx: Tx, parts: Parts, run: Run, index: int, incident: Incident | None) -> bool:
    """Journal the intent of the step that follows; False where that is not to begin without another look."""
    if not _surely_as_seen(parts, run, index):
        return False
    step = run.plan[index]
    try:
        lease = parts.lease + target_of_step(parts, step).step_timeout
        _intend(tx, parts, run, "do", index, step, incident, lease, a_person=False)
    except (Stopped, Permanent):  # Raised before anything is written, and once more when its turn has come.
        return False
    return True


def _still_allowed(tx: Tx, parts: Parts, run: Run) -> None:
    now = current_settings(tx.connection, parts)
    playbook = parts.catalog.playbooks.get(run.playbook_id)
    if now.frozen:
        raise Stopped("frozen: the next step does not start until a person unfreezes")
    if "approved" in run.reasons or (playbook is not None and playbook.safety):
        return
    if now.supervised and run.tier > 1:
        raise Stopped("locked: this run was not approved by a person")
    if run.tier > now.ceiling:
        raise Stopped(f"the ceiling is {now.ceiling} now, and this run was not approved by a person")


async def _settled(
    driver: Driver, target: Target, step: PlannedStep, context: StepContext, seen: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """The observation that satisfies the desired state, what was seen already or another; waits for it (the caller
    sets the limit)."""
    pause = 0.05
    while True:
        observed = await driver.observe(target, step.verb, context) if seen is None else seen
        seen = None
        if driver.reached(step.verb, step.desired, observed):
            return observed
        await asyncio.sleep(pause)
        pause = min(pause * 1.6, 1.0)


async def _reached(driver: Driver, target: Target, step: PlannedStep, context: StepContext) -> Mapping[str, Any] | None:
    """The observation, when it satisfies the desired state already."""
    try:
        async with asyncio.timeout(target.step_timeout):
            observed = await driver.observe(target, step.verb, context)
    except (GraceError, TimeoutError):
        return None
    return observed if driver.reached(step.verb, step.desired, observed) else None


async def _way_back(parts: Parts, run: Run, done: Step, resource: str) -> PlannedStep | None:
    step = PlannedStep(done.verb, done.target, done.driver, done.before, done.desired)
    target = target_of_step(parts, step)
    driver = parts.drivers.get(done.driver)
    if driver is None:
        raise Permanent(f"there is no driver {done.driver}")
    context = context_for(parts, run, done.index, resource)
    async with asyncio.timeout(target.step_timeout):
        observed = await driver.observe(target, done.verb, context)
    back = way_back(driver, done, await _journal(parts, run), observed)
    if back is None:
        return None
    verb, desired, _ = back
    return PlannedStep(Verb(verb), done.target, done.driver, dict(observed), dict(desired))


async def _fail(parts: Parts, run: Run, phase: str, index: int, step: PlannedStep, error: str) -> Failed:
    def store(tx: Tx) -> None:
        journaled = {(each.phase, each.index) for each in runs.steps_of(tx.connection, run.id)}
        if (phase, index) not in journaled:
            runs.intend(tx, run, phase, index, step)
        runs.finish(tx, run, phase, index, after=None, error=error)

    await parts.ledger.write(store)
    log.warning("step_failed", run_id=run.id, phase=phase, step=index, error=error)
    return Failed(index, error)


async def _journal(parts: Parts, run: Run) -> list[Step]:
    return await parts.ledger.glance(lambda connection: runs.steps_of(connection, run.id))
