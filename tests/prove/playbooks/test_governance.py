"""The playbooks that act on Grace itself, from what really happened to what Grace then no longer does alone.

Two demos: on the first, the ledger holds yesterday's runs, a third of which did not help; on the second a fault of the
sandbox is injected. What they changed is read off the workload: a change that is made alone before, and not after.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from catalog.model import Tier, Verb
from remediator.ledger import runs
from remediator.ledger.engine import Ledger, Tx
from remediator.model import Plan, PlannedStep, RunState
from stack.tools import Tool
from tests.prove.playbooks.stage import SOON, Stage, stage

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]

AGO = 7200.0
"""Seconds since the runs of the past."""
PAST = (*["healed"] * 8, *["ineffective"] * 2, *["rolled_back"] * 2)
"""Of twelve runs 67 % helped, which is critical, and 17 % were undone, which is critical too."""
FLOORS = {"confidence_floors": [0.6, 0.9, 0.95, 0.99]}
"""One step stricter, and no playbook without a record (0.8) runs alone."""
NOTHING_HAPPENS = 4.0
"""Seconds for which is looked whether something happens that must not."""


class Past:
    """A clock that stands two hours ago."""

    def now(self) -> float:
        return time.time() - AGO

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def runs_of_the_past(data: Path) -> None:
    """Fill the ledger with twelve runs as Grace itself writes them, two hours old."""

    def end(tx: Tx, outcome: str) -> None:
        step = PlannedStep(Verb.SCALE, "workers", "process", {"processes": 2}, {"processes": 3})
        plan = Plan("scale-workers", Tier.TIER_2, "low", "workers", "workers", (step,), "0" * 64)
        run = runs.create(
            tx,
            plan,
            incident_id=None,
            state=RunState.PLANNED,
            verdict="allow",
            reasons=("within_ceiling",),
            confidence=0.8,
            evidence="confirmed",
            by="grace",
        )
        undone = [RunState.UNDOING] if outcome == RunState.ROLLED_BACK.value else []
        for state in (RunState.RUNNING, RunState.VERIFYING, *undone, RunState(outcome)):
            runs.move(tx, run, state, **({"started_at": tx.now} if state is RunState.RUNNING else {}))

    async def fill() -> None:
        ledger = await Ledger.open(data / "ledger.db", Past())
        for outcome in PAST:
            await ledger.write(lambda tx, outcome=outcome: end(tx, outcome))  # type: ignore[misc]
        await ledger.close()

    asyncio.run(fill())


@pytest.fixture(scope="module")
def troubled(tools: Mapping[str, Tool]) -> Iterator[Stage]:
    """A demo whose Grace has not been doing well."""
    with stage({**SOON, "cooldown": "1s"}, runs_of_the_past) as made:
        yield made


@pytest.fixture
def spoilt(tools: Mapping[str, Tool]) -> Iterator[Stage]:
    """A demo in which a stricter Grace asks a person where it did not before."""
    with stage({**SOON, "cooldown": "1s", **FLOORS}) as made:
        yield made


def test_run_postmortem_writes_the_incident_down(troubled: Stage) -> None:
    reports = troubled.loop.data / "reports"
    written = troubled.until("a postmortem", lambda: list(reports.glob("postmortem-*.md")))
    run = troubled.run_of("run-postmortem", "effective")
    text = written[0].read_text().replace("\\", "")  # Markdown escapes underscores
    assert run["incident_id"] in text
    assert "autonomy.rollback_rate" in text
    refused = troubled.grace("undo", run["id"])
    assert refused.returncode == 1
    assert "cannot be given back" in refused.stderr


def test_lock_planner_supervised_leaves_every_change_to_people(troubled: Stage) -> None:
    lock = troubled.run_of("lock-planner-supervised", "contained")
    assert not swept(troubled), "locked"
    troubled.give_back("undo", lock)
    assert troubled.run_of("lock-planner-supervised", "rolled_back")
    assert swept(troubled), "alone again"


def test_downgrade_autonomy_tier_asks_one_person_more_until_it_is_released(troubled: Stage) -> None:
    """Pausing is tier_3: below the drill profile's ceiling one person is enough, above it two are needed."""
    downgrade = troubled.run_of("downgrade-autonomy-tier", "contained")
    ada = troubled.loop.data / "tokens" / "ada"
    assert troubled.grace("tokens", "add", "ada", "--role", "approver", "--save", str(ada)).returncode == 0
    pause = by_hand(troubled, "stop-ingestion-cycle", "ingestion")
    approve(troubled, pause)
    time.sleep(NOTHING_HAPPENS)
    assert troubled.outside.setting("paused") == 0, "one person of two"
    approve(troubled, pause, "--as", "ada")
    paused_and_undone(troubled, pause)
    troubled.give_back("release", downgrade)
    assert troubled.run_of("downgrade-autonomy-tier", "rolled_back")
    time.sleep(1.0)  # the cooldown of this demo
    pause = by_hand(troubled, "stop-ingestion-cycle", "ingestion")
    approve(troubled, pause)
    paused_and_undone(troubled, pause)


def test_tighten_guardrails_leaves_to_people_what_grace_was_confident_enough_for(spoilt: Stage) -> None:
    spoilt.until("every metric is good", lambda: all_measured(spoilt))
    spoilt.inject("bad-exercises")
    tightened = spoilt.run_of("tighten-guardrails", "contained")
    spoilt.inject("disk-fill")
    held = spoilt.run_of("cleanup-disk", "held")
    assert "confidence_below_floor" in held["reasons"]
    full = spoilt.outside.expired_files()
    time.sleep(NOTHING_HAPPENS)
    assert spoilt.outside.expired_files() >= full > 0, "nothing is deleted without a person"
    spoilt.clear("bad-exercises")
    spoilt.give_back("undo", tightened)
    spoilt.until("it is deleted without a person", lambda: spoilt.outside.expired_files() == 0)
    done = spoilt.run_of("cleanup-disk", "verifying", "healed")
    assert "approved" not in done["reasons"]


def swept(demo: Stage) -> bool:
    """Whether Grace deletes an expired file at a word of one person, who is not asked for an approval."""
    probe = demo.loop.data / "demo" / "volume" / "expired" / f"probe-{time.time_ns()}.old"
    probe.write_bytes(b"x")
    run = by_hand(demo, "cleanup-disk", "demo-volume")
    if run["state"] != "held":
        demo.until("the file is gone", lambda: not probe.exists(), 15.0)
        return True
    time.sleep(NOTHING_HAPPENS)
    assert probe.exists()
    assert demo.grace("runs", "cancel", run["id"], "--reason", "seen").returncode == 0
    return False


def by_hand(demo: Stage, playbook: str, target: str) -> dict[str, Any]:
    """Start a run as a person does; the run."""
    done = demo.grace("run", playbook, "--target", target, "--json")
    assert done.returncode == 0, done.stderr
    run: dict[str, Any] = json.loads(done.stdout)
    return run


def approve(demo: Stage, run: Mapping[str, Any], *who: str) -> None:
    """One person's yes: the admin's, or somebody else's by `--as NAME`."""
    (mine,) = [each for each in demo.loop.items("/api/v1/approvals?state=pending") if each["run_id"] == run["id"]]
    done = demo.grace("approvals", "approve", mine["id"], "--reason", "one person", *who)
    assert done.returncode == 0, done.stderr


def paused_and_undone(demo: Stage, run: Mapping[str, Any]) -> None:
    """Until ingestion is paused by this run, and goes on again by its undo."""
    demo.until("ingestion is paused", lambda: demo.outside.setting("paused") == 1)
    demo.until("it is done", lambda: demo.loop.get(f"/api/v1/runs/{run['id']}")["state"] == "contained")
    demo.give_back("undo", run)
    demo.until("ingestion goes on", lambda: demo.outside.setting("paused") == 0)


def all_measured(demo: Stage) -> bool:
    rows = demo.loop.status()["metrics"]
    return all(row["band"] == "good" for row in rows if row["metric_id"].startswith(("learning.sandbox", "infra.disk")))
