"""Files that change under a running remediator: a broken one changes nothing, a looser one waits for an admin."""

from __future__ import annotations

import json
import os
import signal

import yaml

from tests.contract.drivers.rigs.haproxy import HAProxyRig
from tests.contract.drivers.rigs.process import ProcessRig
from tests.integration.remediator.conftest import Service, held

World = tuple[Service, HAProxyRig, ProcessRig]


def log_of(service: Service, event: str) -> list[dict[str, object]]:
    lines = (service.folder / "remediator.log").read_text().splitlines()
    return [entry for line in lines if line.startswith("{") and (entry := json.loads(line))["event"] == event]


def test_a_broken_catalog_is_told_whole_and_the_old_one_stays(world: World) -> None:
    service, _, _ = world
    config = yaml.safe_load(service.config.read_text())
    service.config.write_text(yaml.safe_dump({**config, "catalog": ["mine.yml"]}))
    mine = service.folder / "mine.yml"
    mine.write_text("metrics:\n- {id: infra.cpu_utilization, interval: 20s}\n")
    service.start()
    before = service.call("GET", "/api/v1/status")[1]["catalog"]

    mine.write_text(
        "metrics:\n"
        "- {id: infra.cpu_utilization, interval: never}\n"
        "- {id: infra.memory_utilization, warning: [restart-wrokers]}\n"
    )
    assert service.child is not None
    os.kill(service.child.pid, signal.SIGHUP)
    (told,) = service.until(lambda: log_of(service, "not_reloaded"))
    assert "mine.yml:2" in str(told["error"])
    assert "mine.yml:3" in str(told["error"])
    assert "restart-workers" in str(told["error"]), "did you mean"
    status, problem = service.call("POST", "/-/reload")
    assert (status, "mine.yml:2" in problem["detail"]) == (422, True)
    assert service.call("GET", "/api/v1/status")[1]["catalog"] == before

    mine.write_text("metrics:\n- {id: infra.cpu_utilization, interval: 25s}\n")
    os.kill(service.child.pid, signal.SIGHUP)
    service.until(lambda: service.call("GET", "/api/v1/status")[1]["catalog"] != before)
    service.stop()


def test_a_broken_catalog_at_the_start_is_one_clear_refusal(world: World) -> None:
    service, _, _ = world
    config = yaml.safe_load(service.config.read_text())
    service.config.write_text(yaml.safe_dump({**config, "catalog": ["mine.yml"]}))
    (service.folder / "mine.yml").write_text("metrics:\n- {id: infra.cpu_utilization, unit: parsecs}\n")
    refused = service.grace("remediator", "--web.listen-address", f"127.0.0.1:{service.port}")
    assert refused.returncode == 2
    assert "mine.yml:2" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_policy_that_loosens_is_pending_until_an_admin_confirms_it(world: World) -> None:
    service, _, _ = world
    service.start()
    policy = service.folder / "governance.yml"
    policy.write_text(yaml.safe_dump({"evidence": "trust_alert", "cooldown": "1m", "strikes": 2}))
    assert service.call("POST", "/-/reload", {})[0] == 200
    pending = service.call("GET", "/api/v1/governance")[1]["pending"]
    assert pending == ["cooldown"], "fewer strikes tighten, and apply at once"

    assert service.grace("governance", "confirm", "--reason", "measured in May").returncode == 0
    assert service.call("GET", "/api/v1/governance")[1]["pending"] == []
    assert service.call("POST", "/api/v1/governance/confirm", {"reason": "again"})[0] == 404
    kinds = [entry["kind"] for entry in service.items("/api/v1/audit")]
    assert kinds.index("policy_confirmed") < kinds.index("reloaded"), "newest first"
    service.stop()


def test_who_loosened_governance_does_not_approve_what_it_allows(world: World) -> None:
    service, balancer, _ = world
    service.start()
    approval = held(service)
    assert service.call("PUT", "/api/v1/governance", {"ceiling": "tier_4", "reason": "I want it"})[0] == 200
    place = f"/api/v1/approvals/{approval['id']}/approve"
    status, problem = service.call("POST", place, {"reason": "me again"})
    assert (status, "loosened ceiling" in problem["detail"]) == (403, True)
    assert balancer.effect() == {"api-1": 100, "api-2": 100}

    token = service.call("POST", "/api/v1/tokens", {"name": "ann", "role": "approver"})[1]["token"]
    assert service.call("POST", place, {"reason": "looked at it"}, token=token)[1]["status"] == "approved"
    service.until(lambda: balancer.effect() == {"api-1": 20, "api-2": 100})
    service.stop()
