"""People are told through targets that are made anew each time: what is known of their channels is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from catalog.inventory import Target
from catalog.model import Verb
from remediator.clock import SystemClock
from remediator.drivers.base import StepContext, World
from remediator.drivers.notify import NotifyDriver
from remediator.drivers.notify import book as module
from remediator.drivers.notify import driver as notify


def target(*channels: dict[str, str]) -> Target:
    return Target(name="people", driver="notify", config={"channels": [dict(each) for each in channels]})


@pytest.fixture
def driver(tmp_path: Path) -> NotifyDriver:
    return NotifyDriver(World(SystemClock(), cast(aiohttp.ClientSession, None), tmp_path))


async def tell(driver: NotifyDriver, to: Target, key: str) -> None:
    context = StepContext(run_id="", step=0, key=key, started_at=0.0, message=f"look at {key}")
    before = await driver.observe(to, Verb.NOTIFY, context)
    desired = driver.desire(to, Verb.NOTIFY, {}, before, context)
    assert not driver.reached(Verb.NOTIFY, desired, before)
    await driver.do(to, Verb.NOTIFY, desired, context)
    assert driver.reached(Verb.NOTIFY, desired, await driver.observe(to, Verb.NOTIFY, context))


async def test_a_hundred_tellings_read_each_line_once(
    driver: NotifyDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    key = module._key
    monkeypatch.setattr(module, "_key", lambda line: (read.append(line), key(line))[1])
    validated: list[Any] = []
    validate = notify.NotifyConfig.model_validate
    monkeypatch.setattr(notify.NotifyConfig, "model_validate", lambda said: (validated.append(said), validate(said))[1])
    for number in range(100):
        await tell(driver, target({"name": "team", "file": str(tmp_path / "team.log")}), f"k{number}")
    assert (len(read), len(validated)) == (200, 1)
    for name in ("team.log", "notifications.log"):
        told = [json.loads(line)["key"] for line in (tmp_path / name).read_text().splitlines()]
        assert told == [f"k{number}" for number in range(100)]


async def test_other_channels_are_other_channels(driver: NotifyDriver, tmp_path: Path) -> None:
    """Also by turns, and of the same name."""
    one, other = ({"name": "team", "file": str(tmp_path / f"{name}.log")} for name in ("one", "other"))
    for turn in range(3):
        await tell(driver, target(one), f"one-{turn}")
        await tell(driver, target(other), f"other-{turn}")
        await tell(driver, target(), f"none-{turn}")
    for name in ("one", "other"):
        told = [json.loads(line)["key"] for line in (tmp_path / f"{name}.log").read_text().splitlines()]
        assert told == [f"{name}-{turn}" for turn in range(3)]


async def test_of_many_channels_only_some_are_remembered(driver: NotifyDriver, tmp_path: Path) -> None:
    for number in range(200):
        file = {"name": "team", "file": str(tmp_path / f"{number}.log")}
        driver._book(Path(file["file"]))
        driver._channels(target(file))
    assert len(driver._books) <= notify._FILES
    assert len(driver._read_already) <= notify._TARGETS
