"""What a run changed is given back when a person says so: what an undo means for each kind of change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.drivers.rigs.haproxy import HAProxyRig
from tests.contract.drivers.rigs.process import ProcessRig
from tests.integration.remediator.conftest import Service

World = tuple[Service, HAProxyRig, ProcessRig]


def by_hand(service: Service, playbook: str, target: str, *states: str) -> str:
    """Run a playbook by hand, and wait for it; its id."""
    status, run = service.call("POST", "/api/v1/runs", {"playbook": playbook, "target": target, "dry_run": False})
    assert status < 300, run
    ends_as(service, run["id"], *states)
    return str(run["id"])


def ends_as(service: Service, run: str, *states: str) -> None:
    """Wait until this run is in one of these states."""
    service.until(lambda: service.call("GET", f"/api/v1/runs/{run}")[1]["state"] in states)


def settings(service: Service) -> dict[str, Any]:
    status, found = service.call("GET", "/api/v1/governance")
    assert status == 200
    return {name: found[name] for name in ("ceiling", "strictness", "supervised")}


TIGHTENED = {
    "tighten-guardrails": {"strictness": 1},
    "downgrade-autonomy-tier": {"ceiling": "tier_1"},
    "lock-planner-supervised": {"supervised": True},
}


@pytest.mark.parametrize("playbook", TIGHTENED)
def test_what_tightened_governance_is_put_back_by_an_admin_and_by_nobody_else(world: World, playbook: str) -> None:
    service, _, _ = world
    service.start()
    before = settings(service)
    run = by_hand(service, playbook, "governance", "contained")
    assert settings(service) == {**before, **TIGHTENED[playbook]}
    operator = service.call("POST", "/api/v1/tokens", {"name": "olga", "role": "operator"})[1]["token"]
    status, problem = service.call("POST", f"/api/v1/runs/{run}/undo", {"reason": "too strict"}, token=operator)
    assert (status, settings(service)) == (403, {**before, **TIGHTENED[playbook]}), problem
    undone = service.grace("undo", run, "--reason", "the cause is known")
    assert undone.returncode == 0, undone.stderr
    ends_as(service, run, "rolled_back")
    assert settings(service) == before
    changes = [entry for entry in service.items("/api/v1/audit?limit=200") if entry["kind"] == "governance_changed"]
    assert {(entry["actor"], entry["run_id"]) for entry in changes} == {("grace", run), ("admin", run)}
    again = service.grace("undo", run)
    assert again.returncode == 1
    assert "given back already" in again.stderr
    service.stop()


def test_what_a_person_has_set_since_stands(world: World) -> None:
    service, _, _ = world
    service.start()
    run = by_hand(service, "tighten-guardrails", "governance", "contained")
    assert service.call("PUT", "/api/v1/governance", {"strictness": 3, "reason": "an attack"})[0] == 200
    assert service.grace("undo", run, "--reason", "the cause is known").returncode == 0
    ends_as(service, run, "rolled_back")
    assert settings(service)["strictness"] == 3
    service.stop()


def test_a_restart_has_nothing_that_could_be_given_back(world: World) -> None:
    service, _, pool = world
    service.start()
    before = set(pool.pids())
    run = by_hand(service, "restart-workers", "workers", "effective")
    assert before.isdisjoint(pool.pids())
    refused = service.grace("undo", run)
    assert refused.returncode == 1
    assert "cannot be given back" in refused.stderr
    service.stop()


def test_what_was_added_is_given_back_once(world: World) -> None:
    service, _, pool = world
    service.start()
    run = by_hand(service, "scale-workers", "workers", "effective")
    assert len(pool.pids()) == 3
    assert service.grace("undo", run).returncode == 0
    service.until(lambda: len(pool.pids()) == 2)
    ends_as(service, run, "rolled_back")
    assert service.grace("undo", run).returncode == 1
    service.stop()
