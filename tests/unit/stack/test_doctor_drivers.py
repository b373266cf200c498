"""`grace doctor` on the inventory alone: what is wrong, and what is only worth knowing."""

from __future__ import annotations

from typing import cast

import aiohttp

from catalog.config import GraceConfig
from catalog.inventory import Inventory, Target
from catalog.load import load_catalog
from remediator.clock import SystemClock
from stack.doctor.setup import Finding, Setup
from stack.doctor.targets import drivers


async def found(*targets: Target) -> list[Finding]:
    inventory = Inventory(targets={target.name: target for target in targets})
    setup = Setup(GraceConfig(), load_catalog(), inventory, SystemClock(), cast(aiohttp.ClientSession, None))
    return [finding async for finding in drivers(setup)]


async def test_what_playbooks_would_ask_and_a_driver_cannot_is_a_warning() -> None:
    pool = {"endpoint": "ipc:///run/circus.sock", "watcher": "w"}
    findings = await found(Target(name="ingestion", driver="process", config=pool))
    assert [(each.problem, each.is_warning, each.is_wrong) for each in findings] == [
        ("ingestion: process cannot throttle, so throttle-learning will be denied", True, False),
        ("ingestion: process cannot pause, so stop-ingestion-cycle will be denied", True, False),
    ]


async def test_a_fault_is_wrong() -> None:
    (finding,) = await found(Target(name="x", driver="nothing-of-the-kind"))
    assert finding.is_wrong
    assert not finding.is_warning
