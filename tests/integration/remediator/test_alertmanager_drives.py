"""Real Alertmanagers, of both lines, drive a real remediator: mixed groups, repeats, a pair of them, and a remediator
that is down meanwhile.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.relocate import relocate, start_script
from tests.contract.drivers.rigs.base import short_folder
from tests.integration.remediator.conftest import Service
from tests.prove.world import METRIC, Replica, Rows, overlay

ONCE = [(Rows.START, Rows.START // 2)]


@dataclass
class Tap:
    """Stands between Alertmanagers and the remediator: knows what was posted by whom; can swallow everything."""

    remediator: str
    posts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    swallow: bool = False
    """Answer 200 and pass nothing on: what is posted is lost for good."""

    @contextmanager
    def listening(self, port: int) -> Iterator[None]:
        tap = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                tap.posts.append((self.path.strip("/"), json.loads(body)))
                status = 200 if tap.swallow else tap.pass_on(body, self.headers["Authorization"])
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        thread = threading.Thread(target=server.serve_forever, name="tap")
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def pass_on(self, body: bytes, authorization: str) -> int:
        request = urllib.request.Request(f"{self.remediator}/api/v1/alerts", body, method="POST")
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", authorization)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except OSError:
            return 502

    def statuses(self, *resources: str) -> list[tuple[str, list[str]]]:
        """Who posted about exactly these resources, and how each stood in that post."""
        found = []
        for who, payload in list(self.posts):
            stood = {each["labels"]["resource"]: each["status"] for each in payload["alerts"]}
            if set(stood) == set(resources):
                found.append((who, [stood[resource] for resource in resources]))
        return found


@dataclass
class Alertmanager:
    """One real Alertmanager; several are meshed."""

    binary: Path
    folder: Path
    port: int
    mesh: int
    child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, config: Mapping[str, Any], peers: tuple[int, ...]) -> None:
        self.folder.mkdir()
        (self.folder / "alertmanager.yml").write_text(yaml.safe_dump(dict(config)))
        with (self.folder / "log").open("wb") as log:
            self.child = subprocess.Popen(
                [
                    self.binary,
                    f"--config.file={self.folder}/alertmanager.yml",
                    f"--storage.path={self.folder}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    f"--cluster.listen-address=127.0.0.1:{self.mesh}",
                    "--cluster.peer-timeout=1ms",
                    "--cluster.settle-timeout=1s",
                    "--cluster.gossip-interval=30s",
                    *(f"--cluster.peer=127.0.0.1:{peer}" for peer in peers),
                ],
                stdout=log,
                stderr=log,
            )

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def post(self, alerts: list[dict[str, Any]]) -> None:
        request = urllib.request.Request(f"{self.url}/api/v2/alerts", json.dumps(alerts).encode(), method="POST")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 200

    def stop(self) -> None:
        if self.child is not None:
            self.child.terminate()
            self.child.wait(10)


def settings(tap: str, token: Path) -> dict[str, Any]:
    """All alerts of the metric in one group, flushed every second, repeated at every flush."""
    webhook = {
        "url": tap,
        "send_resolved": True,
        "http_config": {"authorization": {"type": "Bearer", "credentials_file": str(token)}},
    }
    return {
        "route": {
            "receiver": "grace",
            "group_by": ["metric_id"],
            "group_wait": "300ms",
            "group_interval": "1s",
            "repeat_interval": "1s",
        },
        "receivers": [{"name": "grace", "webhook_configs": [webhook]}],
    }


@dataclass
class Pair:
    """Two Alertmanagers, a tap, and a remediator behind it; and the Prometheus that tells all of them."""

    managers: tuple[Alertmanager, Alertmanager]
    tap: Tap
    service: Replica
    rows: Rows
    began: dict[str, datetime] = field(default_factory=dict)

    def fires(self, *resources: str) -> None:
        self._tell(resources, timedelta(minutes=5))

    def ends(self, *resources: str) -> None:
        self._tell(resources, timedelta(0))

    def _tell(self, resources: tuple[str, ...], ends_in: timedelta) -> None:
        """As Prometheus does: to every Alertmanager, with the same beginning each time."""
        now = datetime.now(UTC)
        alerts = [
            {
                "labels": {
                    "alertname": "InfraCpuUtilization",
                    "metric_id": METRIC,
                    "category": "infra",
                    "resource": name,
                    "severity": "critical",
                    "grace": "true",
                },
                "startsAt": self.began.setdefault(name, now).isoformat(),
                "endsAt": (now + ends_in).isoformat(),
            }
            for name in resources
        ]
        for manager in self.managers:
            manager.post(alerts)

    def incident(self, resource: str) -> dict[str, Any] | None:
        """The only incident of this resource; None while there is none."""
        found = [each for each in self.service.items("/api/v1/incidents?limit=100") if each["resource"] == resource]
        assert len(found) <= 1, found
        return found[0] if found else None

    def contained(self, resource: str) -> bool:
        found = self.incident(resource)
        return found is not None and found["state"] == "contained"

    def received(self, resource: str) -> list[tuple[str, str]]:
        """Status and source of every alert about it that counted, oldest first."""
        entries = self.service.items("/api/v1/audit?limit=500")
        bodies = [each["body"] for each in reversed(entries) if each["kind"] == "alert_received"]
        return [(body["status"], body["source"]) for body in bodies if body["resource"] == resource]


@pytest.fixture(params=["installed", "newer"])
def binary(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Alertmanager of both lines: 0.25, and 0.33 made to run from where it was unpacked."""
    if request.param == "installed":
        found: Path = request.getfixturevalue("alertmanager_binary")
        return found
    unpacked: Path = request.getfixturevalue("newer_tools")["alertmanager"]
    program = Path(shutil.copy(unpacked, tmp_path / "program"))
    script = tmp_path / "alertmanager"
    script.write_text(start_script(program, (), relocate(program, unpacked.parents[2]), tmp_path))
    script.chmod(0o755)
    return script


@pytest.fixture
def pair(binary: Path, free_port: Callable[[], int]) -> Iterator[Pair]:
    with short_folder() as folder, ExitStack() as stack:
        rows = Rows(folder, 5)
        ports = [free_port() for _ in range(6)]
        service = Replica(
            folder / "service",
            ports[0],
            rows.inventory(),
            catalog=overlay("throttle", {"factor": 0.5}),
            alertmanager={"url": f"http://127.0.0.1:{ports[2]}", "receiver": "grace", "reconcile_every": "1s"},
        )
        stack.callback(service.kill)
        service.start()
        tap = Tap(f"http://127.0.0.1:{ports[0]}")
        stack.enter_context(tap.listening(ports[1]))
        managers = tuple(
            Alertmanager(binary, folder / name, port, mesh)
            for name, port, mesh in (("one", ports[2], ports[3]), ("two", ports[4], ports[5]))
        )
        for manager in managers:
            stack.callback(manager.stop)
            config = settings(
                f"http://127.0.0.1:{ports[1]}/{manager.folder.name}", service.data / "tokens/alertmanager"
            )
            manager.start(config, tuple(other.mesh for other in managers if other is not manager))
        for manager in managers:
            Service.until(manager.ready, 20)
        assert len(managers) == 2
        yield Pair(managers, tap, service, rows)


def test_two_of_them_and_a_remediator_that_is_down_meanwhile(pair: Pair) -> None:
    service, tap = pair.service, pair.tap

    # Two fire in one group; both Alertmanagers tell, and go on telling: one incident and one change each.
    pair.fires("t-0", "t-1")
    Service.until(lambda: pair.contained("t-0") and pair.contained("t-1"))
    both_firing = ["firing", "firing"]
    Service.until(lambda: all(tap.statuses("t-0", "t-1").count((who, both_firing)) >= 2 for who in ("one", "two")), 20)
    # One of them ends: the next notifications are of a group that is mixed.
    pair.ends("t-1")
    mixed = ["firing", "resolved"]
    Service.until(lambda: any(stood == mixed for _, stood in tap.statuses("t-0", "t-1")), 20)
    Service.until(lambda: pair.incident("t-1")["firing"] is False)
    assert pair.incident("t-0")["firing"] is True
    assert pair.received("t-0") == [("firing", "webhook")], "repeats and duplicates are known"
    assert pair.received("t-1") == [("firing", "webhook"), ("resolved", "webhook")]
    changes = pair.rows.changes()
    assert (changes["t-0"], changes["t-1"]) == (ONCE, ONCE)

    # Down: one begins and ends meanwhile, one begins and stays, one that was open ends. All their posts are lost.
    service.kill()
    tap.swallow = True
    seen = len(tap.posts)
    pair.fires("t-2", "t-3")
    Service.until(lambda: _told(tap, seen, "t-2", "firing") and _told(tap, seen, "t-3", "firing"), 20)
    pair.ends("t-2", "t-0")
    Service.until(lambda: _told(tap, seen, "t-2", "resolved") and _told(tap, seen, "t-0", "resolved"), 20)
    service.start()
    Service.until(lambda: pair.contained("t-3"), 20)
    assert pair.received("t-3") == [("firing", "reconciler")], "no webhook delivered it"
    assert pair.rows.changes()["t-3"] == ONCE
    assert pair.incident("t-2") is None, "over before anybody could act: nothing is opened, nothing hangs"
    assert pair.rows.changes()["t-2"] == []
    assert pair.incident("t-0")["firing"] is True, "an absence is believed once it is settled, and data are good"

    # From here on posts arrive again: what fires now is handled as ever, and what was recovered is known to both.
    tap.swallow = False
    pair.fires("t-4")
    Service.until(lambda: pair.contained("t-4"), 20)
    repeats = len(tap.posts)
    Service.until(lambda: len(tap.posts) >= repeats + 3, 20)
    assert pair.received("t-3") == [("firing", "reconciler")]
    assert pair.rows.changes() == {"t-0": ONCE, "t-1": ONCE, "t-2": [], "t-3": ONCE, "t-4": ONCE}
    assert len(service.items("/api/v1/runs?all=true")) == 4
    assert service.grace("audit", "verify").returncode == 0
    assert not [line for line in service.log() if line.get("event") in ("work_crashed", "look_crashed")]
    service.stop()


def _told(tap: Tap, since: int, resource: str, status: str) -> bool:
    """Was it posted by both, so that neither has anything left to tell?"""
    who = {
        name
        for name, payload in list(tap.posts)[since:]
        for alert in payload["alerts"]
        if (alert["labels"]["resource"], alert["status"]) == (resource, status)
    }
    return who == {"one", "two"}
