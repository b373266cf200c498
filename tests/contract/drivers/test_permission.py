"""What a driver says that Grace may do, before it does any of it, agrees with what then happens."""

from __future__ import annotations

import os

import pytest

from remediator.drivers.permission import permission
from remediator.errors import Refused
from tests.contract.drivers.conftest import RIGS
from tests.contract.drivers.rigs.base import Rig, as_nobody

KNOWN = {
    "celery", "command", "compose", "docker", "files", "gunicorn", "haproxy", "kubernetes", "process", "sql",
}  # fmt: skip
"""Drivers that can tell. The others tell only that they may not look."""
KNOWN_TO_ROOT = {"systemd"} if os.geteuid() == 0 else set()
BUILT_IN = {"governance", "notify", "postmortem"}


def tried(kinds: set[str]) -> list[object]:
    return [
        pytest.param(rig, id=name, marks=[pytest.mark.prove] if rig.slow else [])
        for name, rig in RIGS.items()
        if rig.kind in kinds
    ]


@pytest.mark.parametrize("rig", tried({rig.kind for rig in RIGS.values()} - BUILT_IN), indirect=True)
async def test_asking_changes_nothing_and_says_yes_where_it_is_so(rig: Rig) -> None:
    driver, effect = rig.driver(), rig.effect()
    found = await permission(driver, rig.target(), rig.verb, rig.context())
    assert found is not None
    assert found.allowed is (True if rig.kind in KNOWN | KNOWN_TO_ROOT else None)
    assert rig.effect() == effect
    await driver.close()


@pytest.mark.parametrize("rig", tried(KNOWN - {"command"}), indirect=True)
async def test_what_will_be_refused_is_told_before(rig: Rig) -> None:
    """`do` would be refused as `permission`: asking says so, with the reason."""
    driver = rig.driver()
    before = await driver.observe(rig.target(), rig.verb, rig.context())
    desired = driver.desire(rig.target(), rig.verb, rig.args, before, rig.context())
    rig.forbid()
    with as_nobody():
        found = await permission(driver, rig.target(), rig.verb, rig.context())
        with pytest.raises(Refused):
            await driver.do(rig.target(), rig.verb, desired, rig.context())
    assert found is not None
    assert found.allowed is False
    assert len(found.why) > 10
    await driver.close()
