"""An approval is for what was seen: a real balancer that somebody changes by hand meanwhile is left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import yaml

from tests.contract.drivers.rigs.haproxy import HAProxyRig, runtime
from tests.contract.drivers.rigs.process import ProcessRig
from tests.integration.remediator.conftest import Service, payload

World = tuple[Service, HAProxyRig, ProcessRig]


def started(service: Service) -> None:
    """At a tenth of the shipped intervals, with a ceiling below everything that changes something."""
    written = yaml.safe_load(service.config.read_text())
    service.config.write_text(yaml.safe_dump({**written, "time_scale": {"factor": 0.1}}))
    (service.folder / "governance.yml").write_text(yaml.safe_dump({"evidence": "trust_alert", "ceiling": "tier_1"}))
    service.start()


def asked(service: Service, but: str = "") -> dict[str, Any]:
    """The approval that waits, another one than `but`."""
    found: list[dict[str, Any]] = service.until(
        lambda: [each for each in service.items("/api/v1/approvals?state=pending") if each["id"] != but]
    )
    return found[0]


def told(service: Service) -> list[str]:
    lines = (service.data / "notifications.log").read_text().splitlines()
    return [json.loads(line)["message"] for line in lines if " is void" in line]


def test_a_weight_changed_by_hand_after_the_approval_voids_it(world: World) -> None:
    """Approved under a freeze; the weight is changed by hand before the thaw."""
    service, balancer, _ = world
    started(service)
    service.call("POST", "/api/v1/alerts", payload("infra.cpu_utilization", "api-1"), token="alertmanager")
    first = asked(service)
    assert first["plan"][0]["before"]["weights"] == {"api-1": 100, "api-2": 100}
    assert first["plan"][0]["desired"] == {"weights": {"api-1": 20}}

    assert service.call("PUT", "/api/v1/governance", {"frozen": True, "reason": "release"})[0] == 200
    status, answer = service.call("POST", f"/api/v1/approvals/{first['id']}/approve", {"reason": "seen the graphs"})
    assert (status, answer["status"]) == (200, "approved")
    (incident,) = service.items("/api/v1/incidents")
    service.until(
        lambda: service.call("GET", f"/api/v1/incidents/{incident['id']}")[1]["reason"].startswith("approved, and wait")
    )
    runtime(balancer.socket, "set weight api/api-1 60")
    assert service.call("PUT", "/api/v1/governance", {"frozen": False, "reason": "done"})[0] == 200

    second = asked(service, but=first["id"])
    void = service.call("GET", f"/api/v1/approvals/{first['id']}")[1]
    assert (void["status"], void["given"]) == ("void", 1)
    assert void["reason"] == "weights.api-1 of edge was 100 when the plan was made and is 60 now"
    assert balancer.effect() == {"api-1": 60, "api-2": 100}, "nothing was done"
    assert service.items("/api/v1/runs") == [], "no run ever began"
    assert second["plan"][0]["before"]["weights"]["api-1"] == 60
    assert second["plan_digest"] != first["plan_digest"]
    assert [message for message in told(service) if first["id"] in message and "is 60 now" in message]
    assert len(told(service)) == 1
    kinds = [entry["kind"] for entry in service.items(f"/api/v1/audit?incident={incident['id']}&limit=500")]
    assert "approval_void" in kinds
    assert "step_intended" not in kinds

    status, _ = service.call("POST", f"/api/v1/approvals/{second['id']}/approve", {"reason": "as it is now"})
    assert status == 200
    service.until(lambda: balancer.effect() == {"api-1": 12, "api-2": 100})
    assert service.grace("audit", "verify").returncode == 0
    service.stop()


def test_what_the_plan_does_not_touch_may_change_meanwhile(world: World) -> None:
    service, balancer, _ = world
    started(service)
    service.call("POST", "/api/v1/alerts", payload("infra.cpu_utilization", "api-1"), token="alertmanager")
    first = asked(service)
    runtime(balancer.socket, "set weight api/api-2 90")
    assert service.call("POST", f"/api/v1/approvals/{first['id']}/approve", {"reason": "seen the graphs"})[0] == 200
    service.until(lambda: balancer.effect() == {"api-1": 20, "api-2": 90})
    assert service.call("GET", f"/api/v1/approvals/{first['id']}")[1]["status"] == "approved"
    service.stop()


def test_a_run_by_hand_whose_pool_has_grown_meanwhile_ends_with_a_reason(world: World) -> None:
    service, _, pool = world
    started(service)
    status, run = service.call(
        "POST", "/api/v1/runs", {"playbook": "spawn-extra-workers", "target": "workers", "reason": "more"}
    )
    assert (status, run["state"]) == (201, "held")
    first = asked(service)
    endpoint = f"ipc://{pool.folder}/circus.sock"
    subprocess.run(
        [sys.executable, "-m", "circus.circusctl", "--endpoint", endpoint, "incr", "pool"],
        check=True,
        capture_output=True,
    )
    service.until(lambda: len(pool.pids()) == 3)
    assert service.call("POST", f"/api/v1/approvals/{first['id']}/approve", {"reason": "go"})[0] == 200
    ended = service.until(
        lambda: (found := service.call("GET", f"/api/v1/runs/{run['id']}")[1])["state"] == "refused" and found
    )
    assert "processes of workers was 2 when the plan was made and is 3 now" in ended["reason"]
    assert len(pool.pids()) == 3
    service.stop()
