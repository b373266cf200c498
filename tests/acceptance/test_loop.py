"""One story, told on the real thing: the loop is green, four faults heal, a hint without evidence does nothing alone,
a killed remediator loses nothing, and the record is whole. Every effect is read from outside Grace."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.acceptance.conftest import Loop

pytestmark = pytest.mark.acceptance

SEVENTEEN = {
    "api.latency_p95": 6,
    "api.error_rate": 6,
    "api.request_rate": 6,
    "api.saturation": 6,
    "executor.queue_depth": 3,
    "executor.task_latency": 3,
    "executor.worker_utilization": 3,
    "learning.sessions_started": 6,
    "learning.sources_verified": 6,
    "learning.sandbox_pass_rate": 6,
    "learning.governance_blocks": 6,
    "autonomy.plan_success_rate": 6,
    "autonomy.approvals_pending": 6,
    "autonomy.rollback_rate": 6,
    "infra.cpu_utilization": 3,
    "infra.memory_utilization": 3,
    "infra.disk_usage": 6,
}
"""Every metric that is on, with its interval in the drill profile (seconds)."""
IDLE_UNTIL_TEN_RUNS = {"autonomy.plan_success_rate", "autonomy.rollback_rate"}


def weight(loop: Loop, server: str) -> int:
    """A server's weight, asked of HAProxy's own socket."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(5)
        link.connect(str(loop.data / "demo" / "run" / "haproxy.sock"))
        link.sendall(f"get weight api/{server}\n".encode())
        return int(link.recv(1024).split()[0])


def processes(loop: Loop, *words: str) -> list[int]:
    """Living processes of this loop whose command line has all these words, from /proc."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        if process.info["status"] != psutil.STATUS_ZOMBIE and all(word in line for word in (str(loop.data), *words)):
            found.append(process.pid)
    return sorted(found)


def test_all_seventeen_metrics_have_a_value_or_are_idle(loop: Loop) -> None:
    def missing() -> set[str]:
        seen = {row["metric_id"] for row in loop.status()["metrics"] if row["value"] is not None}
        idle = {row["metric_id"] for row in loop.status()["metrics"] if row["band"] == "idle"}
        return set(SEVENTEEN) - seen - (idle & IDLE_UNTIL_TEN_RUNS)

    # Two intervals of the slowest metric; the polling itself takes a moment.
    loop.until(lambda: not missing(), 2 * max(SEVENTEEN.values()) + 10)
    bands = {row["metric_id"]: row["band"] for row in loop.status()["metrics"]}
    assert set(bands) == set(SEVENTEEN)
    loop.until(lambda: all(row["band"] in ("good", "idle") for row in loop.status()["metrics"]), 60)


def test_the_exporter_alone_exposes_them_all_as_prometheus_wants(loop: Loop, promtool: Path) -> None:
    text = loop.text("exporter", "/metrics")
    for name in ("grace_sample_timestamp_seconds", "grace_threshold", "grace_metric_info"):
        lines = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
        assert {metric for metric in SEVENTEEN if any(f'metric_id="{metric}"' in line for line in lines)} == set(
            SEVENTEEN
        )
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_worked_example(loop: Loop) -> None:
    """CPU of one host critical thrice → shift-load, confidence 0.8, tier_2, allowed → the weight falls → healed."""
    assert weight(loop, "api-1") == 100
    loop.drill("cpu")
    incidents = [each for each in loop.items("/api/v1/incidents") if each["metric_id"] == "infra.cpu_utilization"]
    (incident,) = incidents
    assert (incident["resource"], incident["opened_band"], incident["outcome"]) == ("api-1", "critical", "healed")
    (run,) = [each for each in loop.items("/api/v1/runs") if each["incident_id"] == incident["id"]]
    assert (run["playbook_id"], run["tier"], run["verdict"]) == ("shift-load", "tier_2", "allow")
    assert run["confidence"] == pytest.approx(0.8)
    assert run["reasons"] == ["within_ceiling"]
    assert weight(loop, "api-1") == run["steps"][0]["after"]["weights"]["api-1"] < 100
    assert weight(loop, "api-2") == 100
    timeline = [entry["kind"] for entry in loop.get(f"/api/v1/incidents/{incident['id']}")["timeline"]]
    for kind in ("alert_received", "incident_opened", "decision", "step_intended", "step_done", "run_moved"):
        assert kind in timeline
    assert timeline[0] == "alert_received"
    assert timeline[-1] == "incident_moved"


def test_one_changed_byte_of_the_record_is_found_and_named(loop: Loop, tmp_path: Path) -> None:
    assert loop.grace("audit", "verify").returncode == 0
    stolen = tmp_path / "data"
    stolen.mkdir()
    with sqlite3.connect(loop.data / "ledger.db") as live, sqlite3.connect(stolen / "ledger.db") as copy:
        live.backup(copy)
        (seq,) = copy.execute("SELECT seq FROM audit WHERE kind = 'step_done' ORDER BY seq").fetchone()
        (text,) = copy.execute("SELECT entry FROM audit WHERE seq = ?", (seq,)).fetchone()
        copy.execute("PRAGMA journal_mode=DELETE")
    live.close()
    copy.close()
    for name in ("audit.pub", "checkpoints.log"):
        shutil.copy(loop.data / name, stolen / name)
    raw = (stolen / "ledger.db").read_bytes()
    place = raw.index(text.encode()) + len(text.encode()) // 2
    (stolen / "ledger.db").write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
    found = loop.grace("audit", "verify", data=stolen)
    assert found.returncode == 1
    assert f"entry {seq}" in found.stdout + found.stderr


def test_a_flooded_queue_gets_more_workers(loop: Loop) -> None:
    before = len(processes(loop, "demo.worker"))
    assert before == 2
    loop.drill("queue-flood")
    assert len(processes(loop, "demo.worker")) > before
    with sqlite3.connect(loop.data / "demo" / "tasks.db") as tasks:
        (waiting,) = tasks.execute("SELECT count(*) FROM tasks WHERE started_at IS NULL").fetchone()
    tasks.close()
    assert waiting < 25


def test_a_slow_api_gets_one_more_gunicorn_worker(loop: Loop) -> None:
    loop.drill("slow-api")
    (run,) = [each for each in loop.items("/api/v1/runs") if each["playbook_id"] == "scale-api-shard"]
    assert run["state"] == "healed"
    masters = [int((loop.data / "demo" / "run" / f"api-{shard}.pid").read_text()) for shard in (1, 2)]
    counted = sum(run["steps"][0]["after"]["workers"].values())
    assert counted == 3
    assert sum(len(psutil.Process(master).children()) for master in masters) >= counted


def test_bad_sources_are_analysed_contained_by_approval_and_released_by_a_person(loop: Loop) -> None:
    loop.drill("bad-sources")
    (incident,) = [each for each in loop.items("/api/v1/incidents") if each["metric_id"] == "learning.sources_verified"]
    runs = [each for each in loop.items("/api/v1/runs") if each["incident_id"] == incident["id"]]
    by_name = {run["playbook_id"]: run for run in runs}
    report = Path(by_name["run-trust-analysis"]["steps"][0]["after"]["report"])
    assert report.read_text().strip()
    pause = by_name["stop-ingestion-cycle"]
    assert "approved" in pause["reasons"]
    (approval,) = [each for each in loop.items("/api/v1/approvals?state=approved") if each["run_id"] == pause["id"]]
    assert (approval["needed"], approval["given"]) == (1, 1)
    assert pause["state"] == "rolled_back", "released by a person"
    with sqlite3.connect(loop.data / "demo" / "learning.db") as learning:
        (paused,) = learning.execute("SELECT value FROM control WHERE name = 'paused'").fetchone()
    learning.close()
    assert int(paused) == 0


def test_a_hint_without_evidence_is_held_and_runs_once_when_a_person_approves(loop: Loop) -> None:
    loop.until(lambda: all(row["band"] in ("good", "idle") for row in loop.status()["metrics"]), 90)
    known = {each["id"] for each in loop.items("/api/v1/incidents")}
    for _ in range(2):
        fired = loop.grace("fire", "infra.cpu_utilization", "--severity", "critical", "--resource", "api-2")
        assert fired.returncode == 0, fired.stderr

    def news() -> list[dict[str, object]]:
        return [each for each in loop.items("/api/v1/incidents") if each["id"] not in known]

    loop.until(lambda: news() and news()[0]["state"] == "waiting_approval", 20)
    (incident,) = news()
    assert "evidence_absent" in incident["reasons"]  # type: ignore[operator]
    assert [run for run in loop.items("/api/v1/runs") if run["incident_id"] == incident["id"]] == []
    (approval,) = loop.items("/api/v1/approvals?state=pending")
    before = weight(loop, "api-2")
    approved = loop.grace("approvals", "approve", str(approval["id"]), "--reason", "acceptance test")
    assert approved.returncode == 0, approved.stderr
    loop.until(lambda: weight(loop, "api-2") < before, 20)
    runs = [run for run in loop.items("/api/v1/runs") if run["incident_id"] == incident["id"]]
    assert len(runs) == 1
    loop.until(lambda: news()[0]["state"] == "closed", 60)
    assert len([run for run in loop.items("/api/v1/runs") if run["incident_id"] == incident["id"]]) == 1


def test_a_killed_remediator_comes_back_and_the_record_stays_whole(loop: Loop) -> None:
    before = loop.children["remediator"]
    os.kill(next(iter(processes(loop, "remediator", "--config"))), signal.SIGKILL)
    loop.until(lambda: loop.children.get("remediator") not in (None, before) and _ready(loop), 40)
    assert loop.grace("audit", "verify").returncode == 0
    assert "restart" in loop.log.read_text()


def test_ctrl_c_leaves_no_process_behind(loop: Loop) -> None:
    began = time.monotonic()
    assert loop.stop() < 10
    assert processes(loop) == []
    assert not (loop.data / "up.json").exists()
    assert not [path for path in loop.data.rglob("*") if path.is_socket()]
    assert time.monotonic() - began < 15


def _ready(loop: Loop) -> bool:
    try:
        return "ready" in loop.text("remediator", "/-/ready")
    except OSError:
        return False


def test_the_committed_rules_are_what_the_catalog_compiles_to(promtool: Path, amtool: Path) -> None:
    root = Path(__file__).parents[2]
    rules = sorted((root / "rules" / "generated").glob("*.yml"))
    assert rules
    lint = [promtool, "check", "rules", "--lint=all", "--lint-fatal", *rules]
    assert subprocess.run(lint, capture_output=True, check=False).returncode == 0
    for config in (root / "rules" / "generated" / "alertmanager").glob("alertmanager.yml"):
        assert subprocess.run([amtool, "check-config", config], capture_output=True, check=False).returncode == 0
