"""Does a plan that was made earlier still stand? An approval is for what was seen: another world makes it void.

Compared is what the plan's steps would change, not what merely lies beside it or is measured: docs/adr/0030.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from catalog.inventory import Target
from catalog.model import PlaybookDefinition, Verb
from remediator.drivers.base import Driver, State, StepContext
from remediator.drivers.members import ALIVE, RUNNING
from remediator.errors import GraceError, Refused, Transient
from remediator.model import PlannedStep, Run
from remediator.pipeline.parts import Parts
from remediator.pipeline.plan import context_for, heat_for, resolve

LATELY = 2.0
"""Seconds for which what a plan observed counts as the present."""
NOTHING_TO_COMPARE = frozenset({Verb.RUN, Verb.REPORT, Verb.NOTIFY, Verb.RECLAIM})
"""Verbs that leave an artefact and change nothing else; and one whose plan names every file, which the driver deletes
only if it is that file still."""


async def fallen(
    parts: Parts, playbook: PlaybookDefinition, run: Run, *, target_name: str | None, resource: str
) -> str | None:
    """In words, why the plan of a held run no longer stands; None while it does. Raises Transient: ask again later."""
    if [step.verb for step in playbook.steps] != [planned.verb for planned in run.plan]:
        return f"{playbook.id} has other steps now than when the plan was made"
    for index, (step, planned) in enumerate(zip(playbook.steps, run.plan, strict=True)):
        try:
            target, driver = resolve(parts, target_name, step)
            if (target.name, target.driver) != (planned.target, planned.driver):
                return f"the plan was for {planned.target} ({planned.driver}), it would be {target.name} now"
            context = context_for(parts, run, index, resource)
            context = replace(context, heat=await heat_for(parts, target, step.verb))
            observed = await driver.observe(target, step.verb, context)
            why = departed(driver, planned, observed)
            why = why or _planned_otherwise(driver, target, planned, step.args, context, observed)
        except Transient:
            raise
        except Refused as refusal:
            return str(refusal)
        except GraceError as error:
            return f"the target could not be observed: {error}"
        if why is not None:
            return why
    return None


def departed(driver: Driver, planned: PlannedStep, observed: State) -> str | None:
    """In words, what of a step's target is no longer as it was when the plan was made; None when all of it is."""
    verb, desired, before = planned.verb, planned.desired, planned.before
    if driver.reached(verb, desired, observed) and not driver.reached(verb, desired, before):
        return f"{planned.target} is already as the plan would make it"
    if verb in NOTHING_TO_COMPARE:
        return None
    changes = [
        f"{place} of {planned.target} was {_word(was)} when the plan was made and is {_word(now)} now"
        for place, was, now in _changes(before, observed, _known(before, desired))
    ]
    return "; ".join(changes) or None


def _planned_otherwise(
    driver: Driver,
    target: Target,
    planned: PlannedStep,
    args: Mapping[str, Any],
    context: StepContext,
    observed: State,
) -> str | None:
    """Would the same observation be answered otherwise now: by other limits, other numbers in the playbook?

    Raises Refused when the verb is not possible any more.
    """
    try:
        again = driver.desire(target, planned.verb, args, planned.before, context)
        driver.desire(target, planned.verb, args, observed, context)
    except Refused as refusal:
        if refusal.reason == "unknown_resource" and not context.heat:
            return None  # which one is hot cannot be told without Prometheus; the plan has named it
        raise
    before, after = _known(planned.before, planned.desired), _known(planned.before, again)
    if planned.verb is Verb.SHIFT and _places(before) != _places(after):
        return None  # another one is the hottest now: a measurement, which drifts by itself
    if before == after:
        return None
    return f"the plan would be {_word(after)} now and not {_word(before)}"


def _known(before: State, desired: State) -> State:
    """The part of a desired state that an observation can show: "younger than" is asked for, never seen."""
    return {key: value for key, value in desired.items() if key in before}


def _changes(was: State, now: State, named: State, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where the parts that are named differ: place, before, now."""
    for key, goal in named.items():
        before, after = was.get(key), now.get(key)
        if isinstance(goal, Mapping):
            yield from _changes(_mapping(before), _mapping(after), goal, f"{path}{key}.")
        elif not _same(before, after):
            yield f"{path}{key}", before, after


def _mapping(value: Any) -> State:
    return value if isinstance(value, Mapping) else {}


def _same(one: Any, other: Any) -> bool:
    """Equal, as far as a kernel or a health check tells things apart."""
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-3)
    words = tuple(RUNNING if isinstance(each, str) and each in ALIVE else each for each in (one, other))
    return bool(words[0] == words[1])


def _places(state: State, path: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in state.items():
        found |= _places(value, f"{path}{key}.") if isinstance(value, Mapping) else {f"{path}{key}"}
    return found


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_word(inner)}" for key, inner in value.items())
    return "absent" if value is None else str(value)
