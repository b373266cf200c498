"""What every driver promises, on the real thing: one suite for all."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import rfc8785
from pydantic import BaseModel

from catalog.inventory import Limits, Target
from catalog.model import Verb
from remediator.drivers import DRIVERS
from remediator.drivers.base import Driver, State
from remediator.errors import GraceError, Refused
from tests.contract.drivers.conftest import RIGS
from tests.contract.drivers.coverage import ABSENT, CREDENTIALS, HALF_DONE, holes
from tests.contract.drivers.rigs.base import Rig, as_nobody, until


async def planned(rig: Rig, driver: Driver) -> tuple[State, State]:
    """What was observed, and the desired state, as they come back from the journal."""
    before = await driver.observe(rig.target(), rig.verb, rig.context())
    desired = driver.desire(rig.target(), rig.verb, rig.args, before, rig.context())
    return journaled(before), journaled(desired)


def journaled(state: State) -> State:
    copy = json.loads(json.dumps(state))
    assert copy == state, "a state must survive the journal unchanged"
    rfc8785.dumps(copy)  # and the audit log
    return copy


def expected(rig: Rig, before: Any) -> Any:
    return rig.expected(before) if callable(rig.expected) else rig.expected


async def done(rig: Rig, driver: Driver) -> tuple[State, State, Any]:
    effect = rig.effect()
    before, desired = await planned(rig, driver)
    await driver.do(rig.target(), rig.verb, desired, rig.context())
    assert await rig.settled(driver, rig.verb, desired)
    return before, desired, effect


async def look_and_do(rig: Rig, driver: Driver, target: Target, desired: State) -> None:
    await driver.observe(target, rig.verb, rig.context())
    await driver.do(target, rig.verb, desired, rig.context())


def test_every_driver_has_a_rig() -> None:
    assert {rig.kind for rig in RIGS.values()} == set(DRIVERS)


def test_every_verb_of_every_driver_has_a_rig() -> None:
    tried = {(rig.kind, rig.verb) for rig in RIGS.values()}
    # Resume is what gives a pause back: the undo of the pause rig does it.
    undoes = {(kind, Verb.RESUME) for kind, verb in tried if verb is Verb.PAUSE}
    assert {(kind, verb) for kind, driver in DRIVERS.items() for verb in driver.verbs} - tried == undoes


def test_no_promise_is_left_untried() -> None:
    assert holes() == []


def test_every_driver_that_has_a_credential_sees_it_expire() -> None:
    def names(model: Any) -> Iterator[str]:
        for name, field in model.model_fields.items():
            yield name
            for part in (field.annotation, *get_args(field.annotation)):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    yield from names(part)

    secret = re.compile("password_file|token_file|kubeconfig|url_file")
    named = {kind for kind, driver in DRIVERS.items() if any(secret.fullmatch(name) for name in names(driver.Config))}
    assert named == set(CREDENTIALS)


@pytest.mark.parametrize("place", [*CREDENTIALS.values(), *HALF_DONE.values()])
def test_what_the_table_names_is_there(place: str) -> None:
    file, name = place.split("::")
    text = (Path(__file__).parents[2] / "integration" / "drivers" / file).read_text()
    assert re.search(rf"^\s*(async def|def|class) {name}\b", text, re.MULTILINE)


async def test_looking_changes_nothing(rig: Rig) -> None:
    driver = rig.driver()
    effect = rig.effect()
    before, desired = await planned(rig, driver)
    again, desired_again = await planned(rig, driver)
    assert (before, desired) == (again, desired_again)
    assert not driver.reached(rig.verb, desired, before)
    assert rig.effect() == effect
    await driver.close()


async def test_doing_it_has_the_effect(rig: Rig) -> None:
    driver = rig.driver()
    _, _, effect = await done(rig, driver)
    until(lambda: rig.effect() == expected(rig, effect), 10)
    await driver.close()


async def test_doing_it_twice_is_doing_it_once(rig: Rig) -> None:
    driver = rig.driver()
    _, desired, effect = await done(rig, driver)
    seen = journaled(await driver.observe(rig.target(), rig.verb, rig.context()))
    told = await driver.do(rig.target(), rig.verb, desired, rig.context())
    assert told is None or journaled(told) == seen, "what `do` tells is what `observe` would"
    assert await rig.settled(driver, rig.verb, desired)
    assert rig.effect() == expected(rig, effect)
    assert journaled(await driver.observe(rig.target(), rig.verb, rig.context())) == seen
    await driver.close()


async def test_after_a_crash_looking_tells_whether_it_was_done(rig: Rig) -> None:
    """Between do and record the process dies: another driver object finds it done, and finishing it is harmless."""
    first = rig.driver()
    _, desired = await planned(rig, first)
    second = rig.driver()
    assert not second.reached(rig.verb, desired, await second.observe(rig.target(), rig.verb, rig.context()))
    effect = rig.effect()
    await first.do(rig.target(), rig.verb, desired, rig.context())
    await first.close()
    assert await rig.settled(second, rig.verb, desired)
    await second.do(rig.target(), rig.verb, desired, rig.context())
    assert rig.effect() == expected(rig, effect)
    await second.close()


async def test_undoing_it_gives_back_what_it_changed(rig: Rig) -> None:
    driver = rig.driver()
    before, desired, effect = await done(rig, driver)
    observed = journaled(await driver.observe(rig.target(), rig.verb, rig.context()))
    back = driver.give_back(rig.verb, before, desired, observed)
    steps = driver.release_steps(rig.verb, before, desired, observed)
    if back is None:
        assert steps == ()
        return
    verb, state = back
    assert verb in driver.verbs
    assert steps
    assert steps[-1] == state, "the last release step is the whole undo"
    await driver.do(rig.target(), verb, journaled(state), rig.context())
    assert await rig.settled(driver, verb, state)
    until(lambda: rig.effect() == effect, 10)
    after = await driver.observe(rig.target(), verb, rig.context())
    assert driver.give_back(rig.verb, before, desired, after) is None, "nothing is left to undo"
    await driver.close()


async def test_release_steps_lead_there(rig: Rig) -> None:
    driver = rig.driver()
    before, desired, effect = await done(rig, driver)
    observed = await driver.observe(rig.target(), rig.verb, rig.context())
    back = driver.give_back(rig.verb, before, desired, observed)
    for step in driver.release_steps(rig.verb, before, desired, observed):
        assert back is not None
        await driver.do(rig.target(), back[0], journaled(step), rig.context())
        assert await rig.settled(driver, back[0], step)
    if back is not None:
        until(lambda: rig.effect() == effect, 10)
    await driver.close()


@pytest.mark.parametrize(
    "rig",
    [
        pytest.param(kind, id=name, marks=[pytest.mark.prove] if kind.slow else [])
        for name, kind in RIGS.items()
        if kind.verb is Verb.SCALE
    ],
    indirect=True,
)
async def test_above_the_maximum_nothing_is_added_and_nothing_cut(rig: Rig) -> None:
    """Somebody else has more than the inventory allows: they stay, and what is asked for says why not."""
    driver, before = rig.driver(), rig.effect()
    count = before if isinstance(before, int) else len(before)
    target = rig.target().model_copy(update={"limits": Limits(min=0, max=max(count - 1, 0))})
    observed = await driver.observe(target, rig.verb, rig.context())
    for args in ({"by": 1}, {"factor": 1.5}, {"to": 1}):
        with pytest.raises(Refused) as caught:
            driver.desire(target, rig.verb, args, observed, rig.context())
        assert caught.value.reason == "at_limit"
    assert rig.effect() == before
    await driver.close()


async def test_what_hangs_is_given_up_in_time(rig: Rig) -> None:
    driver = rig.driver()
    _, desired = await planned(rig, driver)
    target = rig.hanging()
    if target is None:
        assert (rig.kind, "timeout") in ABSENT or (rig.kind == "gunicorn" and not rig.by_control)
        return
    begun = time.monotonic()
    with pytest.raises(GraceError):
        async with asyncio.timeout(40):
            await driver.do(target, rig.verb, desired, rig.context())
    assert time.monotonic() - begun < 35
    await driver.close()


async def test_garbage_is_an_error_with_a_reason(rig: Rig) -> None:
    target = rig.garbled()
    if target is None:
        assert (rig.kind, "garbage answer") in ABSENT
        return
    driver = rig.driver()
    _, desired = await planned(rig, driver)
    effect = rig.effect()
    with pytest.raises(GraceError) as caught:
        await look_and_do(rig, driver, target, desired)
    assert len(str(caught.value)) > 10
    assert rig.effect() == effect
    await driver.close()


async def test_what_is_forbidden_is_refused_with_that_reason(rig: Rig) -> None:
    driver = rig.driver()
    _, desired = await planned(rig, driver)
    effect = rig.effect()
    rig.forbid()
    with pytest.raises(Refused) as caught, as_nobody():
        await look_and_do(rig, driver, rig.target(), desired)
    assert caught.value.reason == "permission"
    assert rig.effect() == effect
    await driver.close()
