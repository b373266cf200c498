"""Whatever a driver says went wrong, no secret is in it."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from catalog.inventory import Target
from catalog.model import Verb
from remediator.clock import SystemClock
from remediator.drivers import DRIVERS, open_driver
from remediator.drivers import discreet as module
from remediator.drivers.base import StepContext, World
from remediator.drivers.discreet import discreet
from remediator.drivers.redactor import Redactor
from remediator.errors import GraceError, Permanent, Refused, Transient

SECRET = "correct-horse-battery"
TARGET = Target(name="thing", driver="http")
CONTEXT = StepContext(run_id="r", step=0, key="r:0", started_at=0.0)


def world() -> World:
    return World(SystemClock(), cast(aiohttp.ClientSession, None), Path("/nowhere"), secrets=lambda: {SECRET})


class Talker:
    """A driver that raises or gives what it was told to."""

    kind, verbs, Config = "talker", frozenset({Verb.RUN}), DRIVERS["http"].Config

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.desire = self.reached = self.give_back = self.release_steps = self.close = None

    async def observe(self, *_: Any) -> Any:
        if isinstance(self.answer, Exception):
            try:
                raise RuntimeError(f"the library said {SECRET}")
            except RuntimeError as cause:
                raise self.answer from cause
        return self.answer

    do = observe


def asked(answer: Any) -> Any:
    return discreet(cast(Any, Talker(answer)), world())


@pytest.mark.parametrize("call", ["observe", "do"])
@pytest.mark.parametrize(
    "error",
    [
        Transient(f"broke: {SECRET}", retry_after=7.0),
        Permanent(f"said {SECRET[:10]}\n{SECRET[10:]}"),
        Refused(f"{SECRET} and password=other", reason="permission"),
    ],
)
async def test_an_error_keeps_its_kind_and_tells_no_secret(error: GraceError, call: str) -> None:
    with pytest.raises(type(error)) as caught:
        await getattr(asked(error), call)(TARGET, Verb.RUN, *([{}] if call == "do" else []), CONTEXT)
    shown = "".join(traceback.format_exception(caught.value)).replace("\n", "")
    assert SECRET not in shown
    assert "other" not in str(caught.value)
    assert getattr(caught.value, "retry_after", 7.0) == 7.0
    assert getattr(caught.value, "reason", "permission") == "permission"


async def test_a_cause_without_a_secret_is_kept() -> None:
    driver = asked(Permanent("broke"))
    driver._world = World(SystemClock(), cast(aiohttp.ClientSession, None), Path("/nowhere"))
    with pytest.raises(Permanent) as caught:
        await driver.observe(TARGET, Verb.RUN, CONTEXT)
    assert isinstance(caught.value.__cause__, RuntimeError)


async def test_an_error_is_one_short_line() -> None:
    with pytest.raises(Permanent) as caught:
        await asked(Permanent("x\n" * 100_000)).observe(TARGET, Verb.RUN, CONTEXT)
    assert len(str(caught.value)) <= 400
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("call", ["observe", "do"])
@pytest.mark.parametrize("state", [{"value": SECRET}, {"a": [{"b": f"x {SECRET}"}]}, {"value": "password=hunter22"}])
async def test_a_reading_that_holds_a_secret_is_an_error(state: Any, call: str) -> None:
    with pytest.raises(Permanent, match="holds a secret") as caught:
        await getattr(asked(state), call)(TARGET, Verb.RUN, *([{}] if call == "do" else []), CONTEXT)
    assert "horse" not in str(caught.value)


@pytest.mark.parametrize("state", [None, {"value": 3}])
async def test_what_was_read_after_it_was_done_is_told_on(state: Any) -> None:
    assert await asked(state).do(TARGET, Verb.RUN, {}, CONTEXT) is state


async def test_a_weak_password_is_no_reason_to_refuse_a_name() -> None:
    driver = asked({"members": ["shop-web-1"]})
    driver._world = World(SystemClock(), cast(aiohttp.ClientSession, None), Path("/nowhere"), secrets=lambda: {"shop"})
    assert await driver.observe(TARGET, Verb.RUN, CONTEXT) == {"members": ["shop-web-1"]}


@pytest.mark.parametrize("state", [{"value": 3}, {"members": [1, 2.5], "paused": True, "since": None}, {}])
async def test_a_reading_of_numbers_is_not_compared_with_secrets(state: Any) -> None:
    def asked_for() -> Any:
        raise AssertionError

    driver = asked(state)
    driver._world = World(SystemClock(), cast(aiohttp.ClientSession, None), Path("/nowhere"), secrets=asked_for)
    assert await driver.observe(TARGET, Verb.RUN, CONTEXT) is state


async def test_a_secret_that_was_replaced_is_found_in_the_next_reading() -> None:
    known: set[str] = set()
    driver = asked({"a": [1, {"b": SECRET}]})
    driver._world = World(SystemClock(), cast(aiohttp.ClientSession, None), Path("/nowhere"), secrets=lambda: known)
    await driver.observe(TARGET, Verb.RUN, CONTEXT)
    known.add(SECRET)
    with pytest.raises(Permanent, match="holds a secret"):
        await driver.observe(TARGET, Verb.RUN, CONTEXT)


async def test_what_hides_a_thousand_secrets_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(module, "Redactor", lambda secrets: (made.append(1), Redactor(secrets))[1])
    secrets = frozenset(f"one of many {number}" for number in range(1000))
    driver = asked({"value": "words"})
    driver._world = World(SystemClock(), cast(aiohttp.ClientSession, None), Path("/nowhere"), secrets=lambda: secrets)
    for _ in range(5):
        await driver.observe(TARGET, Verb.RUN, CONTEXT)
    assert made == [1]


@pytest.mark.parametrize("kind", DRIVERS)
def test_an_opened_driver_is_the_driver(kind: str) -> None:
    opened = open_driver(kind, world())
    assert (opened.kind, opened.verbs, opened.Config) == (kind, DRIVERS[kind].verbs, DRIVERS[kind].Config)
