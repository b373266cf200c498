"""`grace run PLAYBOOK --target T [--dry-run]` and `grace undo RUN`, as a person types them on the demo."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from catalog.load import load_catalog
from demo.layout import layout
from demo.outside import Outside
from tests.acceptance.conftest import Loop
from tests.prove.playbooks.stage import Stage

pytestmark = pytest.mark.acceptance

TARGETS = {
    "scale-api-shard": "api",
    "restart-workers": "api",
    "spawn-extra-workers": "workers",
    "scale-workers": "workers",
    "spawn-emergency-shard": "workers",
    "throttle-learning": "ingestion",
    "stop-ingestion-cycle": "ingestion",
    "run-trust-analysis": "ingestion",
    "tighten-guardrails": "governance",
    "downgrade-autonomy-tier": "governance",
    "run-postmortem": "governance",
    "lock-planner-supervised": "governance",
    "shift-load": "api",
    "scale-nodes": "api",
    "cleanup-disk": "demo-volume",
}
PLANS = {
    "scale-api-shard": "scale api (gunicorn): workers: api-1=1, api-2=1 → api-1=2, api-2=1",
    "restart-workers": "restart api (gunicorn): workers: api-1=1, api-2=1; all begun after 20",
    "spawn-extra-workers": "scale workers (process): processes: 2 → 4",
    "scale-workers": "scale workers (process): processes: 2 → 3",
    "spawn-emergency-shard": "start standby (process): processes: 0 → 2",
    "throttle-learning": "throttle ingestion (sql): value: 100 → 50",
    "stop-ingestion-cycle": "pause ingestion (sql): value: 0 → 1",
    "run-trust-analysis": "run trust-analysis (command): report: - → /",
    "tighten-guardrails": "govern governance (governance): strictness: 0 → 1",
    "downgrade-autonomy-tier": "govern governance (governance): ceiling: tier_3 → tier_2",
    "lock-planner-supervised": "govern governance (governance): supervised: no → yes",
    "shift-load": "shift edge (haproxy): weights: api-",
    "scale-nodes": "scale nodes (process): processes: 0 → 1",
    "cleanup-disk": "reclaim demo-volume (files): delete: ",
}
WAITS = {"spawn-emergency-shard", "stop-ingestion-cycle", "scale-nodes"}
"""What is tier_3 waits for one person in the drill profile."""
GIVEN_BACK: dict[str, tuple[Callable[[Stage], Any], Any]] = {
    "scale-api-shard": (lambda demo: len(demo.outside.shard_workers()), 3),
    "spawn-extra-workers": (lambda demo: len(demo.outside.pool_workers()), 4),
    "scale-workers": (lambda demo: len(demo.outside.pool_workers()), 3),
    "spawn-emergency-shard": (lambda demo: len(demo.pids("standby")), 2),
    "throttle-learning": (lambda demo: demo.outside.setting("rate_limit"), 50),
    "stop-ingestion-cycle": (lambda demo: demo.outside.setting("paused"), 1),
    "shift-load": (lambda demo: min(demo.weights()), 20),
    "scale-nodes": (lambda demo: demo.server("api-3") == "UP", True),
}
"""How the change of each is read from outside, and what is read then."""


@pytest.fixture(scope="module")
def demo(loop: Loop) -> Stage:
    made = Stage(loop, Outside(layout(loop.data)), 0.0)
    # Weights are shifted off the hottest shard: both must have been measured.
    made.until("CPU is measured", lambda: "infra.cpu_utilization" in _measured(loop))
    return made


def test_every_playbook_of_the_catalog_is_tried() -> None:
    assert set(TARGETS) == set(load_catalog().playbooks)


@pytest.mark.parametrize("playbook", [name for name in TARGETS if name != "run-postmortem"])
def test_a_dry_run_says_what_would_be_done_and_touches_nothing(demo: Stage, playbook: str) -> None:
    before = demo.state(), demo.outside.shard_workers(), demo.outside.expired_files()
    done = demo.grace("run", playbook, "--target", TARGETS[playbook], "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"  1. {PLANS[playbook]}" in done.stdout
    would = "it would wait for 1 approval" if playbook in WAITS else "it would run at once"
    assert done.stdout.endswith(f"\nNothing was touched: {would}.\n")
    assert (demo.state(), demo.outside.shard_workers(), demo.outside.expired_files()) == before
    assert demo.loop.items("/api/v1/runs?all=true") == []


def test_a_postmortem_by_hand_is_refused_with_what_to_do_instead(demo: Stage) -> None:
    done = demo.grace("run", "run-postmortem", "--target", "governance", "--dry-run")
    assert done.returncode == 1
    assert "grace incidents show" in done.stderr


def test_a_name_that_nobody_knows_is_refused_with_those_that_there_are(demo: Stage) -> None:
    for playbook, target, told in (
        ("scale-wrokers", "workers", "catalog show"),
        ("scale-workers", "wrokers", "standby"),
    ):
        done = demo.grace("run", playbook, "--target", target, "--dry-run")
        assert done.returncode != 0
        assert told in done.stderr


@pytest.mark.parametrize("playbook", GIVEN_BACK)
def test_what_a_run_by_hand_changed_is_given_back_by_undo(demo: Stage, playbook: str) -> None:
    read, changed = GIVEN_BACK[playbook]
    before = read(demo)
    assert before != changed
    done = demo.grace("run", playbook, "--target", TARGETS[playbook])
    assert done.returncode == 0, done.stderr
    if playbook in WAITS:
        assert "It waits for approval: grace approvals list" in done.stdout
        (waiting,) = demo.loop.items("/api/v1/approvals?state=pending")
        assert read(demo) == before
        assert demo.grace("approvals", "approve", waiting["id"], "--reason", "acceptance test").returncode == 0
    else:
        assert "It runs: grace runs show run_" in done.stdout
    demo.until(f"{playbook} shows outside", lambda: read(demo) == changed, 20.0)
    (run,) = [each for each in demo.loop.items("/api/v1/runs") if each["playbook_id"] == playbook]
    demo.until("it is done", lambda: _state(demo, run["id"]) in ("effective", "contained"), 20.0)
    undone = demo.grace("undo", run["id"], "--reason", "acceptance test")
    assert undone.returncode == 0, undone.stderr
    demo.until(f"{playbook} is given back", lambda: read(demo) == before, 20.0)
    demo.until("and said so", lambda: _state(demo, run["id"]) == "rolled_back", 20.0)


def _state(demo: Stage, run_id: str) -> str:
    return str(demo.loop.get(f"/api/v1/runs/{run_id}")["state"])


def _measured(loop: Loop) -> set[str]:
    done = json.loads(loop.grace("status", "--json").stdout)
    return {row["metric_id"] for row in done["metrics"] if row["band"] == "good"}
