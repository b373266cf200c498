"""What is answered 202 is on the disk: the kernel is asked, not the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.prove,
    # Only a tracer sees the order of the kernel's calls, and it comes with no package of ours.
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: apt-get install strace"),
]
ROOT = Path(__file__).parents[2]
WATCHED = "trace=recvfrom,sendto,write,fsync,fdatasync"


@contextmanager
def traced(folder: Path) -> Iterator[tuple[str, Path]]:
    """A remediator whose system calls are written down; its address and where."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "grace.yml").write_text(json.dumps({"data_dir": str(folder / "data")}))
    calls = folder / "calls"
    process = subprocess.Popen(
        [
            *("strace", "-f", "-y", "-s", "120", "-o", str(calls), "-e", WATCHED),
            *(sys.executable, "-m", "grace", "remediator", "--config", str(folder / "grace.yml")),
            *("--web.listen-address", f"127.0.0.1:{port}"),
        ],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not answers(f"http://127.0.0.1:{port}/-/ready"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", calls
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def post(url: str, token: str) -> int:
    alert = {
        "status": "firing",
        "labels": {"alertname": "Nobodys", "metric_id": "nobodys.metric", "resource": "r", "severity": "critical"},
        "annotations": {},
        "startsAt": "2026-11-22T08:00:00.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "00000000deadbeef",
    }
    empty: dict[str, str] = {}
    body = {
        "version": "4", "status": "firing", "receiver": "grace", "groupKey": "{}", "truncatedAlerts": 0,
        "groupLabels": empty, "commonLabels": empty, "commonAnnotations": empty, "externalURL": "", "alerts": [alert],
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/v1/alerts", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return int(answer.status)


def test_an_alert_is_on_the_disk_before_it_is_answered(tmp_path: Path) -> None:
    with traced(tmp_path) as (url, calls):
        assert post(url, (tmp_path / "data" / "tokens" / "alertmanager").read_text()) == 202
    lines = calls.read_text(errors="replace").splitlines()
    (asked,) = (number for number, line in enumerate(lines) if "POST /api/v1/alerts" in line)
    answered = next(number for number, line in enumerate(lines) if number > asked and '"HTTP/1.1 202' in line)
    between = lines[asked:answered]
    assert synced(between), "\n".join(between)


def synced(lines: list[str]) -> bool:
    """Was the ledger's log synced, begun and ended within these lines?"""
    begun: set[str] = set()
    for line in lines:
        process = line.split()[0]
        if re.search(r"(fsync|fdatasync)\(\d+<[^>]*/ledger\.db-wal>", line):
            if line.endswith("= 0"):
                return True
            begun.add(process)
        elif process in begun and re.search(r"<\.\.\. (fsync|fdatasync) resumed>.* = 0$", line):
            return True
    return False


def test_a_sync_that_ended_too_late_would_be_noticed() -> None:
    begin, end = "7 fdatasync(9</d/ledger.db-wal> <unfinished ...>", "7 <... fdatasync resumed>) = 0"
    assert synced([begin, end])
    assert not synced([begin])
    assert not synced(["7 fdatasync(9</d/other.db>) = 0"])
    assert not synced([begin, "8 <... fdatasync resumed>) = 0"])
