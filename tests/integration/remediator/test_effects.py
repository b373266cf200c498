"""Fake payloads, real effects: weights read from HAProxy's socket, processes counted in the kernel."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest

from remediator import crash
from tests.contract.drivers.rigs.haproxy import HAProxyRig
from tests.contract.drivers.rigs.process import ProcessRig
from tests.integration.remediator.conftest import Service, payload

World = tuple[Service, HAProxyRig, ProcessRig]
PAYLOADS = Path(__file__).parents[2] / "data" / "payloads"


def post(service: Service, body: bytes) -> tuple[int, dict[str, object]]:
    return service.call("POST", "/api/v1/alerts", body, token="alertmanager")


def test_alerts_change_a_real_balancer_and_a_real_pool(world: World) -> None:
    service, balancer, pool = world
    service.start()
    before = pool.pids()

    assert post(service, payload("infra.cpu_utilization", "api-1")) == (202, {"accepted": 1, "duplicates": 0})
    service.until(lambda: balancer.effect() == {"api-1": 20, "api-2": 100})
    assert post(service, payload("executor.queue_depth", "workers"))[0] == 202
    service.until(lambda: len(pool.pids()) == 3)
    assert set(before) < set(pool.pids()), "the survivors kept their pids"

    assert post(service, payload("infra.cpu_utilization", "api-1")) == (202, {"accepted": 0, "duplicates": 1})
    runs = service.until(lambda: len(found := service.items("/api/v1/runs")) == 2 and found)
    assert {run["playbook_id"] for run in runs} == {"shift-load", "scale-workers"}
    assert {run["verdict"] for run in runs} == {"allow"}
    assert all("evidence_trusted" in run["reasons"] for run in runs), "a test rig says so loudly"
    shift = next(run for run in runs if run["playbook_id"] == "shift-load")
    assert shift["steps"][0]["after"]["weights"]["api-1"] == 20
    assert service.grace("audit", "verify").returncode == 0
    service.stop()


def test_captured_payloads_are_accepted_whole(world: World) -> None:
    service, _, _ = world
    service.start()
    for name, alerts in (
        ("firing-2-alerts.json", 2),
        ("mixed-1-resolved-1-firing.json", 2),
        ("resolved.json", None),
        ("firing-truncated.json", None),
    ):
        body = (PAYLOADS / name).read_bytes()
        status, answer = post(service, body)
        assert status == 202, answer
        expected = len(json.loads(body)["alerts"]) if alerts is None else alerts
        assert answer["accepted"] + answer["duplicates"] == expected  # type: ignore[operator]
        assert post(service, body)[1]["accepted"] == 0, "the same payload again changes nothing"
    service.stop()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 422),
        (b'{"version":"4"}', 422),
        (b"\xff\xfe", 400),
        (b'{"alerts":[{"status":"firing"}]}', 422),
        (b"[" * 100_000, 400),
        (b'{"padding":"' + b"x" * (17 * 1024 * 1024) + b'"}', 413),
    ],
    ids=["empty", "cut", "list", "no-alerts", "not-utf8", "no-labels", "deep", "17MiB"],
)
def test_what_is_no_payload_is_refused_with_a_reason_and_harms_nothing(world: World, body: bytes, status: int) -> None:
    service, _, _ = world
    service.start()
    assert post(service, payload("infra.cpu_utilization", "api-2"))[0] == 202
    found, problem = post(service, body)
    assert found == status
    assert problem["detail"]
    service.until(lambda: len(service.items("/api/v1/incidents")) == 1)  # what had been accepted is still there
    service.stop()


def test_without_a_token_nothing_is_accepted(world: World) -> None:
    service, balancer, _ = world
    service.start()
    for token in ("", "grace_nobody"):
        assert service.call("POST", "/api/v1/alerts", payload("infra.cpu_utilization", "api-1"), token=token)[0] == 401
    assert service.call("GET", "/api/v1/incidents", token="alertmanager")[0] == 403
    assert service.items("/api/v1/incidents") == []
    assert balancer.effect() == {"api-1": 100, "api-2": 100}
    service.stop()


@pytest.mark.parametrize("point", [point for point in crash.POINTS if point != "after_verify"])
def test_killed_at_any_point_the_run_happens_once(world: World, point: str) -> None:
    """SIGKILL at every journal point between accept and the step's result; then an ordinary start."""
    service, _, pool = world
    service.start(GRACE_CRASH_AT=point)
    try:
        post(service, payload("executor.queue_depth", "workers"))
    except OSError:
        pass  # it died before it could answer
    assert service.died() == -9
    service.start()
    # Alertmanager sends again what was not answered; what was answered is known already.
    assert post(service, payload("executor.queue_depth", "workers"))[1]["accepted"] == 0
    service.until(lambda: len(pool.pids()) == 3)
    service.until(lambda: service.items("/api/v1/runs") and service.items("/api/v1/runs")[0]["state"] == "verifying")
    time.sleep(1.0)  # Time in which a second run would scale again.
    assert len(pool.pids()) == 3
    assert len(service.items("/api/v1/runs")) == 1
    assert len(service.items("/api/v1/incidents")) == 1
    verified = service.grace("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    service.stop()


def test_one_changed_byte_in_the_database_is_found_and_named(world: World) -> None:
    service, _, _ = world
    service.start()
    post(service, payload("infra.cpu_utilization", "api-1"))
    service.until(lambda: service.items("/api/v1/runs"))
    service.stop()
    assert service.grace("audit", "verify").returncode == 0
    database = service.data / "ledger.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        seq, text = connection.execute("SELECT seq, entry FROM audit WHERE kind = 'decision' ORDER BY seq").fetchone()
    connection.close()
    raw = database.read_bytes()
    place = raw.index(text.encode()) + text.index("shift-load")
    database.write_bytes(raw[:place] + b"S" + raw[place + 1 :])
    found = service.grace("audit", "verify")
    assert found.returncode == 1, found.stdout
    assert f"entry {seq}" in found.stdout + found.stderr


def test_a_second_remediator_on_the_same_data_is_refused(world: World) -> None:
    service, _, _ = world
    service.start()
    second = service.grace("remediator", "--web.listen-address", "127.0.0.1:0")
    assert second.returncode == 2
    assert "in use by another process" in second.stderr
    assert "Traceback" not in second.stderr
    service.stop()
