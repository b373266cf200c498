"""Preconditions that a command answers: bounded, without a shell, and every answer in the audit log."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from catalog.inventory import Inventory, Target
from catalog.model import CommandPrecondition
from remediator.drivers import check_inventory
from remediator.governance.facts import Precondition
from remediator.model import IncidentState
from remediator.pipeline import precondition
from tests.unit.remediator.simulation import TARGETS, Simulation, simulation

CPU = "infra.cpu_utilization"
NAME = "no-deploy"


@asynccontextmanager
async def guarded(*argv: str, **config: Any) -> AsyncIterator[Simulation]:
    """shift-load, which runs only while this command ends with 0."""
    async with simulation() as sim:
        by_command = sim.parts.catalog.playbooks["shift-load"].model_copy(
            update={"precondition": CommandPrecondition(command=NAME)}
        )
        books = {**sim.parts.catalog.playbooks, "shift-load": by_command}
        sim.parts.catalog = sim.parts.catalog.model_copy(update={"playbooks": books})
        check = Target(name=NAME, driver="command", config={"argv": argv, **config})
        sim.parts.inventory = Inventory(targets={**TARGETS, NAME: check})
        yield sim


async def decided(sim: Simulation) -> dict[str, Any]:
    sim.measure(CPU, "api-1", "ccc")
    await sim.alert(CPU, "api-1")
    found: dict[str, Any] = next(
        body for kind, body in await sim.audit() if kind == "decision" and body["playbook"] == "shift-load"
    )
    return found


@pytest.mark.parametrize(
    ("script", "answer", "ran"),
    [("exit 0", "true", True), ("echo 'deploy 4711'; exit 3", "false", False), ("kill -9 $$", "unknown", False)],
)
async def test_the_exit_code_decides_and_is_recorded(script: str, answer: str, ran: bool) -> None:
    async with guarded("/bin/sh", "-c", script) as sim:
        decision = await decided(sim)
        asked = decision["precondition"]
        assert (asked["command"], asked["answer"]) == (NAME, answer)
        assert bool(sim.driver.effects) is ran
        if answer == "false":
            assert (asked["exit_code"], asked["output"]) == (3, "deploy 4711")
            assert "precondition_failed" in decision["reasons"]
            assert (await sim.incident()).state is IncidentState.ESCALATED


async def test_no_shell_reads_the_arguments() -> None:
    async with guarded("/bin/echo", "$(exit 1)", ";", "exit", "1", "\x1b[2J`id`") as sim:
        asked = (await decided(sim))["precondition"]
        assert asked["exit_code"] == 0
        assert asked["output"] == "$(exit 1) ; exit 1  [2J`id`"


async def test_one_that_takes_too_long_is_ended_with_all_its_children_and_counts_as_false(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 600 & echo $! > {pids}; sleep 600"
    async with guarded("/bin/sh", "-c", script, timeout=0.5) as sim:
        began = time.monotonic()
        decision = await decided(sim)
        assert time.monotonic() - began < 10
        assert decision["precondition"]["answer"] == "unknown"
        assert "did not end within 0.5 s" in decision["precondition"]["error"]
        assert sim.driver.effects == []
        child = int(pids.read_text())
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


async def test_what_it_prints_is_bounded_and_holds_no_secret() -> None:
    script = "echo token=hunter2hunter2; head -c 10000000 /dev/zero | tr '\\0' x"
    async with guarded("/bin/sh", "-c", script, env={"API_TOKEN": "hunter2hunter2"}) as sim:
        asked = (await decided(sim))["precondition"]
        assert asked["answer"] == "true"
        assert len(asked["output"]) <= precondition.OUTPUT_KEPT
        assert "hunter2" not in asked["output"]


async def test_one_that_cannot_be_started_or_is_gone_counts_as_false() -> None:
    async with guarded("/no/such/program") as sim:
        assert (await decided(sim))["precondition"]["answer"] == "unknown"
        sim.parts.inventory = Inventory(targets=TARGETS)
        answer = await precondition.ask(sim.parts, CommandPrecondition(command=NAME))
        assert answer.value is Precondition.UNKNOWN
        assert answer.as_json()["error"] == "the inventory has no such command"


async def test_a_command_that_cannot_be_asked_is_a_fault_of_the_inventory() -> None:
    async with guarded("/bin/true") as sim:
        catalog = sim.parts.catalog

        def faults(**targets: Target) -> list[str]:
            return [each for each in check_inventory(Inventory(targets=targets), catalog) if "precondition" in each]

        assert faults(**{NAME: Target(name=NAME, driver="command", config={"argv": ["/bin/true"]})}) == []
        assert "there is no such target" in faults()[0]
        assert "needs the driver command, not files" in faults(**{NAME: Target(name=NAME, driver="files")})[0]
        report = Target(name=NAME, driver="command", config={"argv": ["/bin/true", "{report}"]})
        assert "asks for an exit code" in faults(**{NAME: report})[0]
    with pytest.raises(ValidationError):
        CommandPrecondition(command="no; rm -rf /")
