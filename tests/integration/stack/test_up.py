"""`grace up` on this machine: all green, watched, and gone without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

GRACE = (sys.executable, "-m", "grace")
ANY_PORTS = tuple(
    f"--{part}-port=0" for part in ("exporter", "remediator", "prometheus", "alertmanager", "loadbalancer")
)


def grace(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GRACE, *arguments], capture_output=True, text=True, timeout=60, check=False, **more)


def eventually(holds: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found


@pytest.fixture(scope="module")
def up(start_up: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = start_up(tmp_path_factory.mktemp("up") / "data")
    found.until("all green")
    return found


def test_all_green_says_how_long_it_took_and_the_record_says_where_everything_is(up: Any) -> None:
    green = next(line for line in up.lines if "all green" in line)
    assert re.fullmatch(r"all green in \d+\.\d s", green)
    record = up.record()
    parts = ("exporter", "remediator", "prometheus", "alertmanager", "loadbalancer")
    assert record["pid"] == up.process.pid
    assert [record[part] for part in parts] == [record["urls"][part] for part in parts]
    assert [record[part] for part in parts] == [f"http://127.0.0.1:{record['ports'][part]}" for part in parts]
    assert {"api-1", "api-2", "exporter", "remediator", "prometheus", "alertmanager"} <= set(record["children"])
    assert "prometheus" in psutil.Process(record["children"]["prometheus"]).name()


def test_status_shows_all_17_metrics_with_a_value_or_idle(up: Any) -> None:
    def told() -> dict[str, Any]:
        answer = grace("status", "--json", "--data", str(up.data))
        assert answer.returncode == 0, answer.stderr
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    eventually(lambda: all(row["band"] != "no data" for row in told()["metrics"]), 60, "no metric without data")
    status = told()
    assert len({row["metric_id"] for row in status["metrics"]}) == 17
    assert all((row["value"] is None) == (row["band"] == "idle") for row in status["metrics"])
    assert status["governance"]["ceiling"] == "tier_3", "the drill profile's"
    assert status["problems"] == []


def test_doctor_is_silent_on_a_good_setup_and_names_a_changed_rule_and_a_lost_route(up: Any) -> None:
    def silent() -> bool:
        good = grace("doctor", "--no-test-alert", "--json", "--data", str(up.data))
        return good.returncode == 0 and json.loads(good.stdout) == {"findings": []}

    eventually(silent, 40, "no finding, once everything was scraped")
    assert json.loads(grace("doctor", "--json", "--data", str(up.data)).stdout) == {"findings": []}
    rules, routes = up.data / "rules" / "infra.cpu_utilization.yml", up.data / "alertmanager.yml"
    before = {path: path.read_text() for path in (rules, routes)}
    rules.write_text(before[rules].replace("max_over_time", "min_over_time", 1))
    routes.write_text(before[routes].replace('grace="true"', 'grace="yes"', 1))
    pids = up.record()["children"]
    try:
        for part in ("prometheus", "alertmanager"):
            os.kill(pids[part], signal.SIGHUP)

        def found() -> list[dict[str, str]]:
            told = json.loads(grace("doctor", "--no-test-alert", "--json", "--data", str(up.data)).stdout)
            findings: list[dict[str, str]] = told["findings"]
            return findings

        eventually(lambda: {one["check"] for one in found()} == {"rules", "route"}, 30, "both findings")
        by_check = {one["check"]: one for one in found()}
        assert "are not what the catalog says: grace.infra." in by_check["rules"]["problem"]
        assert "grace rules build" in by_check["rules"]["mend"]
        assert "not routed to receiver 'grace'" in by_check["route"]["problem"]
        assert grace("doctor", "--no-test-alert", "--data", str(up.data)).returncode == 1
    finally:
        for path, text in before.items():
            path.write_text(text)
        for part in ("prometheus", "alertmanager"):
            os.kill(pids[part], signal.SIGHUP)


def test_a_part_that_is_killed_comes_back_and_the_record_knows_its_new_pid(up: Any) -> None:
    before = up.record()["children"]["exporter"]
    os.kill(before, signal.SIGKILL)
    assert "was ended by SIGKILL" in up.until("exporter: restarting")
    up.until("exporter: ready")
    after = up.record()["children"]["exporter"]
    assert after != before
    assert psutil.pid_exists(after)


def test_a_second_up_on_the_same_data_is_refused_in_one_line(up: Any) -> None:
    second = grace("up", "--data", str(up.data))
    assert second.returncode == 2
    assert second.stderr.strip().splitlines() == [
        f"Error: grace up (pid {up.process.pid}) is already running on {up.data}; stop it, or give another --data"
    ]
    assert up.record()["pid"] == up.process.pid


def test_sigterm_stops_everything_within_10_seconds_and_leaves_no_process_socket_or_lock(
    up: Any, start_up: Callable[..., Any]
) -> None:
    processes = up.tree()
    assert len(processes) > 15
    began = time.monotonic()
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(timeout=15) == 0
    assert time.monotonic() - began < 10
    assert alive(processes) == []
    assert not (up.data / "up.json").exists()
    assert not (up.data / "up.lock").exists()
    assert [path for path in up.data.rglob("*") if path.is_socket()] == []

    nothing = grace("status", "--data", str(up.data))
    assert nothing.returncode == 2
    assert "nothing runs here" in nothing.stderr

    # Its data is used again; and kill -9 leaves no process either.
    again = start_up(up.data)
    seconds = float(again.until("all green").split()[-2])
    assert seconds < 20
    processes = again.tree()
    again.process.kill()
    eventually(lambda: alive(processes) == [], 10, "nothing survives kill -9")

    third = start_up(up.data)
    third.until("all green")
    third.process.send_signal(signal.SIGINT)
    assert third.process.wait(timeout=15) == 0


def test_a_port_in_use_is_named_with_its_option(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = grace("up", "--data", str(tmp_path / "data"), *ANY_PORTS, f"--prometheus-port={port}")
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
    assert f"port {port} (prometheus) is in use" in refused.stderr
    assert "--prometheus-port" in refused.stderr
    assert not (tmp_path / "data" / "up.lock").exists()


# A disk that is full before anything is written can only be a mounted one; the next test needs no rights.
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk; the next test needs none")
def test_a_full_disk_is_said_in_one_line(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        # Root of a container may lack the capability to mount.
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        refused = grace("up", "--data", str(disk / "data"), *ANY_PORTS)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert refused.returncode == 2
    assert refused.stderr.strip().splitlines() == [f"Error: the disk of {disk / 'data'} is full: free at least 50 MB"]


def test_a_disk_that_takes_no_more_while_files_are_written_is_said_in_one_line(tmp_path: Path, tools: object) -> None:
    def no_large_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))

    refused = grace("up", "--data", str(tmp_path / "data"), *ANY_PORTS, preexec_fn=no_large_files)
    assert refused.returncode == 2, refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "is full" in refused.stderr
    assert [path.name for path in (tmp_path / "data").iterdir() if path.name.startswith(".")] == []


def test_a_data_folder_that_is_a_file_or_forbidden_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refused = grace("up", "--data", str(tmp_path / "file" / "data"))
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
