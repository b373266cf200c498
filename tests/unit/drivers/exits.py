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

from remediator.drivers.births import Birth
from remediator.drivers.command.job import Job
from remediator.drivers.compose.program import Compose
from remediator.drivers.docker.engine import Engine
from remediator.drivers.files import driver as files
from remediator.drivers.gunicorn.pool import Pool
from remediator.drivers.haproxy.runtime import Runtime
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

        def write(database: Database, statement: str, value: Any) -> None:
            self.log.append(("write", statement, value))

        patch.setattr(Database, "read", read)
        patch.setattr(Database, "write", write)

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
