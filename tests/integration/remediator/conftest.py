"""The real `grace remediator` process with a real HAProxy and a real process pool behind it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediator.webhook.notification import Notification, NotifiedAlert
from tests.contract.drivers.rigs.base import short_folder
from tests.contract.drivers.rigs.haproxy import HAProxyRig
from tests.contract.drivers.rigs.process import ProcessRig


class Service:
    """One remediator on one data folder: started, killed, started again."""

    def __init__(self, folder: Path, port: int, inventory: Mapping[str, Any], policy: Mapping[str, Any]) -> None:
        self.folder = folder
        self.port = port
        self.data = folder / "data"
        self.child: subprocess.Popen[bytes] | None = None
        (folder / "inventory.yml").write_text(yaml.safe_dump({"targets": dict(inventory)}))
        (folder / "governance.yml").write_text(yaml.safe_dump(dict(policy)))
        self.config = folder / "grace.yml"
        self.config.write_text(
            yaml.safe_dump(
                {
                    "data_dir": str(self.data),
                    "inventory": "inventory.yml",
                    "governance": "governance.yml",
                    "remediator_url": f"http://127.0.0.1:{port}",
                    "prometheus": {"url": "http://127.0.0.1:1", "timeout": "1s"},
                    "alertmanager": {"url": "http://127.0.0.1:1"},
                }
            )
        )

    def start(self, **environment: str) -> None:
        """Begin, and wait until alerts can be accepted."""
        with (self.folder / "remediator.log").open("ab") as log:
            self.child = subprocess.Popen(
                [
                    *(sys.executable, "-m", "grace", "remediator", "--config", str(self.config)),
                    *("--web.listen-address", f"127.0.0.1:{self.port}"),
                ],
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            )
        self.until(lambda: self._ready() or self.child.poll() is not None, 20)
        assert self.child.poll() is None, (self.folder / "remediator.log").read_text()[-3000:]

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def died(self, within: float = 20) -> int:
        """Wait until it has ended; its return code."""
        assert self.child is not None
        return self.child.wait(within)

    def stop(self) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            assert self.child.wait(10) == 0, (self.folder / "remediator.log").read_text()[-3000:]

    def kill(self) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.kill()
            self.child.wait(10)

    def call(self, method: str, path: str, body: Any = None, token: str = "admin") -> tuple[int, Any]:
        """Status and document of an API call."""
        data = body if isinstance(body, bytes) else (None if body is None else json.dumps(body).encode())
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        if token:
            known = self.data / "tokens" / token
            request.add_header("Authorization", f"Bearer {known.read_text() if known.exists() else token}")
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                raw = answer.read()
                return answer.status, json.loads(raw) if raw[:1] in b"[{" else raw.decode()
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def items(self, path: str) -> list[dict[str, Any]]:
        status, document = self.call("GET", path)
        assert status == 200, document
        found: list[dict[str, Any]] = document["items"]
        return found

    def grace(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run the command line against it."""
        return subprocess.run(
            [sys.executable, "-m", "grace", *argv, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @staticmethod
    def until(holds: Callable[[], Any], within: float = 15.0) -> Any:
        """Poll until something holds; what it gave."""
        deadline = time.monotonic() + within
        while not (found := holds()):
            assert time.monotonic() < deadline, "it did not come to hold"
            time.sleep(0.05)
        return found


def held(service: Service) -> dict[str, Any]:
    """The approval that waits, where everything waits for people and a host is at its limit."""
    assert service.call("PUT", "/api/v1/governance", {"supervised": True, "reason": "release day"})[0] == 200
    service.call("POST", "/api/v1/alerts", payload("infra.cpu_utilization", "api-1"), token="alertmanager")
    (approval,) = service.until(lambda: service.items("/api/v1/approvals?state=pending"))
    return dict(approval)


def payload(metric_id: str, resource: str, severity: str = "critical", status: str = "firing") -> bytes:
    """What Alertmanager would post for one alert of the catalog; the same bytes every time."""
    labels = {
        "alertname": "".join(part.capitalize() for part in metric_id.replace(".", "_").split("_")),
        "metric_id": metric_id,
        "category": metric_id.split(".")[0],
        "resource": resource,
        "severity": severity,
        "grace": "true",
    }
    alert = NotifiedAlert(status=status, labels=labels, annotations={}, starts_at="2026-11-22T08:00:00.000Z")
    return Notification(receiver="grace", alerts=(alert,), group_by=("metric_id", "resource", "severity")).body()


@pytest.fixture
def world(haproxy_binary: Path, free_port: Callable[[], int]) -> Iterator[tuple[Service, HAProxyRig, ProcessRig]]:
    """A remediator that takes alerts at their word, with an HAProxy (`edge` of `api`) and a pool of two (`workers`)."""
    with short_folder() as folder:
        for name in ("balancer", "pool", "service"):
            (folder / name).mkdir()
        balancer = HAProxyRig(folder / "balancer", None, {"haproxy": haproxy_binary})  # type: ignore[arg-type]
        pool = ProcessRig(folder / "pool", None, {})  # type: ignore[arg-type]
        config: dict[str, Any] = {
            "socket": str(folder / "balancer" / "haproxy.sock"),
            "backend": "api",
            "servers": {"api-1": "api-1", "api-2": "api-2"},
        }
        inventory = {
            "api": {"driver": "haproxy", "resources": ["api-1", "api-2"], "edge": "edge", "config": config},
            "edge": {"driver": "haproxy", "config": {**config, "servers": {**config["servers"]}}},
            "workers": {
                "driver": "process",
                "limits": {"min": 1, "max": 4},
                "config": {"endpoint": f"ipc://{folder}/pool/circus.sock", "watcher": "pool"},
            },
        }
        service = Service(folder / "service", free_port(), inventory, {"evidence": "trust_alert"})
        try:
            balancer.start()
            pool.start()
            yield service, balancer, pool
        finally:
            service.kill()
            pool.close()
            balancer.close()
