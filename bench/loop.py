"""The whole loop: how soon it is green, how soon it acts, how soon it has healed. Takes about five minutes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.figure import Figure

DRILLS = {"cpu": 90, "queue-flood": 90, "slow-api": 90, "bad-sources": 150}
"""Seconds wanted from fault to verified heal."""


def figures() -> Iterator[Figure]:
    """Starts `grace up --drill` twice on one data folder, then drills."""
    folder = Path(tempfile.mkdtemp(prefix="grace-bench-"))
    data = folder / "data"
    try:
        first = _Up(data)
        yield Figure("first start to all green, unpacking included where needed", f"{first.green:.1f} s")
        yield Figure("stop", f"{first.stop():.1f} s", "≤ 10 s")
        second = _Up(data)
        yield Figure("warm start to all green", f"{second.green:.1f} s", "≤ 20 s")
        try:
            time.sleep(20)  # Two intervals of the slowest metric, so that every window holds measurements.
            for name, wanted in DRILLS.items():
                yield from _drill(second, name, wanted)
        finally:
            second.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _drill(up: _Up, name: str, wanted: int) -> Iterator[Figure]:
    done = subprocess.run(
        [sys.executable, "-m", "grace", "drill", name, "--json", "--data", str(up.data)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        yield Figure(f"drill {name}", "did not heal", f"≤ {wanted} s")
        return
    (report,) = json.loads(done.stdout)
    first = report["incidents"][0]
    healed = first["heal"] if first["heal"] is not None else report["took"]
    yield Figure(f"drill {name}: fault to verified end", f"{healed:.1f} s", f"≤ {wanted} s")
    reaction = _reaction(up, first["incident"])
    if reaction is not None:
        yield Figure(f"drill {name}: alert firing to first step", f"{reaction:.2f} s", "≤ 2 s")


def _reaction(up: _Up, incident_id: str) -> float | None:
    """Seconds from the alert's own beginning in Prometheus to the first journaled intent."""
    incident = up.get(f"/api/v1/incidents/{incident_id}")
    fired = [entry["body"]["starts_at"] for entry in incident["timeline"] if entry["kind"] == "alert_received"]
    intended = [entry["at"] for entry in incident["timeline"] if entry["kind"] == "step_intended"]
    return min(intended) - min(fired) if fired and intended else None


class _Up:
    def __init__(self, data: Path) -> None:
        self.data = data
        ports = [
            each
            for part in ("exporter", "remediator", "prometheus", "alertmanager", "loadbalancer")
            for each in (f"--{part}-port", "0")
        ]
        began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "grace", "up", "--drill", "--data", str(data), *ports],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if re.search(r"all green", line):
                break
        else:
            raise RuntimeError("grace up ended before it was green")
        self.green = time.monotonic() - began
        # Somebody must read what it says, or it waits for that when the pipe is full.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.remediator = json.loads((data / "up.json").read_text())["remediator"]

    def get(self, path: str) -> Any:
        request = urllib.request.Request(self.remediator + path)  # our own server on loopback
        request.add_header("Authorization", f"Bearer {(self.data / 'tokens' / 'admin').read_text()}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def stop(self) -> float:
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=20)
        return time.monotonic() - began
