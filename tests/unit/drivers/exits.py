"""Every way by which a driver reaches out of this process, recorded instead of taken."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from remediator.drivers.ansible.runner import Runner, Told
from remediator.drivers.births import Birth
from remediator.drivers.celery import pool as celery_pool
from remediator.drivers.celery.remote import Remote
from remediator.drivers.command.job import Job
from remediator.drivers.compose.program import Compose
from remediator.drivers.docker.engine import Engine
from remediator.drivers.files import driver as files
from remediator.drivers.gunicorn.pool import Pool
from remediator.drivers.haproxy.runtime import Runtime
from remediator.drivers.kubernetes.cluster import Cluster
from remediator.drivers.notify.book import Book
from remediator.drivers.postmortem import driver as postmortem
from remediator.drivers.process.arbiter import Arbiter
from remediator.drivers.sql.row import Database
from remediator.drivers.systemd.manager import Manager
from remediator.errors import Refused

SERVERS = (
    "1\n# be_name srv_name srv_op_state srv_admin_state srv_uweight\napi api-1 2 0 100\napi api-2 2 0 100\n",
    "show servers state api",
)
CONTAINER: Mapping[str, Any] = {
    "Id": "c1", "Name": "/web-1", "Image": "sha256:1",
    "State": {"Status": "running", "StartedAt": "2026-01-01T00:00:00Z"},
    "HostConfig": {"NetworkMode": "host"}, "NetworkSettings": {"Networks": {}},
    "Config": {"Labels": {"grace.target": "web"}},
}  # fmt: skip


class Exits:
    """What was asked of the world, as it would have left this process: statements, arguments, paths, URLs."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.log: list[Any] = []
        self.story: Mapping[str, Any] = {}
        self._started: set[str] = set()
        self._own_programs(patch)
        self._control_sockets(patch)
        self._engines(patch)
        self._clients(patch)

    def taken(self) -> list[Any]:
        """What was recorded since this was last asked."""
        found, self.log = self.log, []
        self._started = set()
        return found

    def _own_programs(self, patch: pytest.MonkeyPatch) -> None:
        async def run(job: Job, log: Path, keep_open: int) -> int:
            self.log.append(("exec", list(job.argv), sorted(job.env), str(job.cwd), str(log)))
            return 1

        async def compose(program: Compose, argv: list[str], timeout: float) -> str:
            self.log.append(("compose", program.project, [str(file) for file in program.files], list(argv)))
            return "web"

        def delete(config: Any, desired: Mapping[str, Any], now: float) -> None:
            self.log.append(("delete", desired["delete"]))

        def append(book: Book, key: str, line: Mapping[str, Any]) -> bool:
            assert str(line["message"]).isprintable()
            self.log.append(("append", str(book._path), key, sorted(line)))
            return False

        patch.setattr(Job, "run", run)
        patch.setattr(Compose, "_run", compose)
        patch.setattr(Compose, "program", lambda program: ["/usr/bin/docker-compose"])
        patch.setattr(files, "_delete", delete)
        patch.setattr(Book, "append", append)
        patch.setattr(postmortem, "_write", lambda path, content: self.log.append((str(path), shape(content))))

    def _control_sockets(self, patch: pytest.MonkeyPatch) -> None:
        async def haproxy(runtime: Runtime, command: str) -> str:
            self.log.append(("haproxy", command))
            return SERVERS[0] if command == SERVERS[1] else ""

        async def circus(arbiter: Arbiter, command: str, **properties: Any) -> Mapping[str, Any]:
            self.log.append(("circus", command, properties))
            if command == "kill":
                raise Refused("recorded")
            return {"pids": [os.getpid()], "options": {"numprocesses": 1}, "status": "active"}

        async def resize(pool: Pool, count: int) -> None:
            self.log.append(("gunicorn", pool.name, count))
            raise Refused("recorded")

        async def systemd(
            manager: Manager, path: str, interface: str, member: str, signature: str, *body: Any
        ) -> list[Any]:
            self.log.append((member, repr(body)))
            if member == "RestartUnit":
                raise Refused("recorded")
            if member == "StartUnit":
                self._started.add(body[0])
            if member == "ListUnitsByPatterns":
                return [[("worker@1.service", "", "loaded")]]
            return [f"/{body[0]}"] if member == "LoadUnit" else [self._properties(path[1:])]

        async def itself(manager: Any) -> Any:
            return manager

        async def nothing(*words: Any) -> None:
            return None

        patch.setattr(Runtime, "_ask", haproxy)
        patch.setattr(Arbiter, "_ask", circus)
        patch.setattr(Pool, "workers", lambda pool: (Birth(1, 1, 0.0),))
        patch.setattr(Pool, "resize", resize)
        patch.setattr(Manager, "_call", systemd)
        for kind in (Manager, Engine):
            patch.setattr(kind, "__aenter__", itself)
            patch.setattr(kind, "__aexit__", nothing)

    def _properties(self, unit: str) -> Mapping[str, Any]:
        active = "active" if unit == "worker@1.service" or unit in self._started else "inactive"
        values = {
            "LoadState": "loaded", "ActiveState": active, "Job": (0, "/"), "Result": "success", "MainPID": 1,
            "ExecMainStartTimestamp": 1_000_000, "CPUQuotaPerSecUSec": 2**64 - 1,
        }  # fmt: skip
        return {name: SimpleNamespace(value=value) for name, value in values.items()}

    def _engines(self, patch: pytest.MonkeyPatch) -> None:
        async def labelled(engine: Engine, labels: Mapping[str, str]) -> list[Any]:
            self.log.append(("labelled", dict(labels)))
            stopped = {**CONTAINER["State"], "Status": "exited"}
            return [CONTAINER, {**CONTAINER, "Id": "c2", "Name": "/web-2", "State": stopped}]

        async def inspect(engine: Engine, name: str) -> None:
            self.log.append(("inspect", name))

        def recorded(call: str) -> Any:
            async def one(engine: Engine, *words: Any) -> str:
                self.log.append((call, repr(words)))
                if call == "restart":
                    raise Refused("recorded")
                return "made"

            return one

        patch.setattr(Engine, "labelled", labelled)
        patch.setattr(Engine, "inspect", inspect)
        for call in ("create", "connect", "start", "stop", "restart", "pause", "unpause", "remove", "update"):
            patch.setattr(Engine, call, recorded(call))

        def read(database: Database, statement: str) -> int:
            self.log.append(("read", statement))
            return 60 if "rate" in statement else 0

        def bring_about(database: Database, reading: str, writing: str, value: Any, stands: Any) -> int:
            self.log.append(("write", reading, writing, value))
            return read(database, reading)

        patch.setattr(Database, "read", read)
        patch.setattr(Database, "bring_about", bring_about)

    def _clients(self, patch: pytest.MonkeyPatch) -> None:
        """Those that bring a client of their own: what is asked of it."""
        answers: Mapping[str, Any] = {
            "stats": {"pool": {"implementation": "celery.concurrency.prefork:TaskPool", "processes": [11, 12]}},
            "registered": ["app.learn [rate_limit=60/m]"], "active_queues": [{"name": "ingestion"}], "active": [],
        }  # fmt: skip
        workload = {
            "kind": "Deployment", "metadata": {"resourceVersion": "1", "generation": 1},
            "spec": {"replicas": 2, "template": {"metadata": {}}},
            "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2},
        }  # fmt: skip

        async def ask(remote: Remote, command: str, nodes: Any, timeout: float, **arguments: Any) -> Mapping[str, Any]:
            self.log.append(("celery", command, list(nodes), arguments))
            return dict.fromkeys(nodes, answers[command])

        async def tell(remote: Remote, command: str, node: str, timeout: float, **arguments: Any) -> None:
            self.log.append(("celery", command, node, arguments))
            raise Refused("recorded")

        async def get(cluster: Cluster, path: str, timeout: float) -> Any:
            self.log.append(("GET", path))
            return {**workload, "kind": "Scale"} if path.endswith("/scale") else workload

        async def items(cluster: Cluster, path: str, timeout: float) -> list[Any]:
            self.log.append(("list", path))
            return []

        def change(method: str) -> Any:
            async def one(cluster: Cluster, path: str, body: Any, timeout: float) -> Any:
                self.log.append((method, path, body))
                return workload

            return one

        async def play(runner: Runner, file: str, *, check: bool, variables: Any, timeout: float) -> Told:
            self.log.append(("ansible", file, check, dict(variables)))
            return Told(0, "2", "# fine")

        patch.setattr(celery_pool, "_STEADY", 0.0)
        patch.setattr(Remote, "ask", ask)
        patch.setattr(Remote, "tell", tell)
        patch.setattr(Cluster, "get", get)
        patch.setattr(Cluster, "items", items)
        patch.setattr(Cluster, "put", change("PUT"))
        patch.setattr(Cluster, "merge", change("PATCH"))
        patch.setattr(Runner, "run", play)

    @asynccontextmanager
    async def request(self, method: str, url: Any, **more: Any) -> Any:
        """What stands in for the HTTP session."""
        self.log.append((method, str(url), more["json"], more["headers"]))
        document = b'{"workers": 2, "rate": 60, "paused": false, "born": 1.0}'

        async def part(size: int) -> bytes:
            nonlocal document
            given, document = document, b""
            return given

        yield SimpleNamespace(status=200, headers={}, content=SimpleNamespace(read=part))

    async def govern(self, change: str, desired: Mapping[str, Any], run_id: str) -> Mapping[str, Any]:
        self.log.append(("govern", change, dict(desired), run_id))
        return {}

    async def governance(self) -> Mapping[str, Any]:
        return {"strictness": 0, "ceiling": "tier_2", "supervised": False, "frozen": False}

    async def told(self, incident_id: str) -> Mapping[str, Any]:
        return self.story

    async def instant(self, query: str) -> list[Any]:
        """What stands in for Prometheus."""
        self.log.append(("promql", query))
        return [SimpleNamespace(labels={"resource": "api-1"}, value=0.9)]


def shape(markdown: str) -> list[str]:
    """Of each line, what is markup: everything but plain text."""
    return [re.sub(r"(\\.|[^\\`*_{}\[\]<>#+!|~])+", "x", line) for line in markdown.split("\n")]
