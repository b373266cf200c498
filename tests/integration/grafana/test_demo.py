"""Grace's own dashboards on the running demo: after something healed, was held and was escalated, none is empty."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PORTS = [f"--{part}-port=0" for part in ("exporter", "remediator", "prometheus", "alertmanager", "loadbalancer")]
GRACE = [sys.executable, "-m", "grace"]
MAY_BE_EMPTY = {
    # A table of what is true now: when all is well there is nothing in it, and it says so.
    "Wanted now",
    "At work now",
    # Every run helped.
    "Strikes",
    # Idle below ten verified runs in a day.
    "Plan success rate",
    "Rollback rate",
}


@pytest.fixture(scope="module")
def prometheus(tools: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a demo's Prometheus, after a drill that heals and one that is held and escalated."""
    data = tmp_path_factory.mktemp("up")
    with (data / "up.log").open("wb") as log:
        process = subprocess.Popen([*GRACE, "up", "--drill", "--data", str(data), *PORTS], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while "all green" not in (data / "up.log").read_text():
            assert process.poll() is None, (data / "up.log").read_text()
            assert time.monotonic() < deadline, (data / "up.log").read_text()
            time.sleep(0.2)
        for drill in ("cpu", "approvals-jam"):
            subprocess.run([*GRACE, "drill", drill, "--data", str(data)], check=True, timeout=240)
        yield json.loads((data / "up.json").read_text())["urls"]["prometheus"]
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.prove
def test_every_query_of_every_dashboard_is_answered(prometheus: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*GRACE, "grafana", "check", "--json", "--prometheus", prometheus], capture_output=True, text=True, check=False
    )
    report = json.loads(done.stdout)
    assert (done.returncode, report["findings"]) == (0, [])
    assert report["asked"] == report["queries"] > 150


@pytest.mark.prove
def test_only_panels_that_say_so_are_empty(prometheus: str, tmp_path: Path) -> None:
    """The check takes a panel's `No value` for an answer; here it is taken away, to see which panels need it."""
    source = Path(__file__).parents[3] / "grafana" / "dashboards"
    for path in source.glob("*.json"):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            panel.get("fieldConfig", {}).get("defaults", {}).pop("noValue", None)
        (tmp_path / path.name).write_text(json.dumps(board))
    done = subprocess.run(
        [*GRACE, "grafana", "check", "--json", "--prometheus", prometheus, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    findings = json.loads(done.stdout)["findings"]
    assert {finding["rule"] for finding in findings} <= {"query-empty"}
    empty = {finding["panel"].split("”")[0].lstrip("“") for finding in findings}
    assert empty <= MAY_BE_EMPTY | {"Now", "Measurements in the window"}
    idle = [each for each in findings if each["panel"].startswith(("“Now”", "“Measurements"))]
    assert {Path(each["file"]).stem for each in idle} <= {"grace-autonomy"}
