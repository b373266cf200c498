"""Real containers of a real engine."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping
from typing import Any

from catalog.inventory import Target
from catalog.model import Verb
from tests.contract.drivers.rigs.base import Rig
from tests.contract.drivers.rigs.dockerd import Dockerd, engine

_numbers = itertools.count(1)


class DockerRig(Rig):
    kind = "docker"
    verb = Verb.SCALE
    args: Mapping[str, Any] = {"by": 1}
    step_timeout = 20.0
    count = 1
    options: tuple[str, ...] = ()
    expected: Any = ("running", "running")

    def start(self) -> None:
        self.engine: Dockerd = engine()
        self.label = f"web{next(_numbers)}"
        self.stack.callback(self.engine.remove, f"grace.target={self.label}")
        self.seeds = [self.begin(f"{self.label}-{number}") for number in range(1, self.count + 1)]

    def begin(self, name: str) -> str:
        return self.engine.run(name, "--label", f"grace.target={self.label}", *self.options)

    def config(self) -> Mapping[str, Any]:
        return {"label": self.label, "url": self.engine.url, "kill_after": 1, "well_after": 0.2}

    def inspected(self) -> list[dict[str, Any]]:
        """What the engine's own client says of each container, by name."""
        ids = self.engine.client("ps", "-aq", "--filter", f"label=grace.target={self.label}").split()
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


class DockerRestartRig(DockerRig):
    slow = True
    verb = Verb.RESTART
    args: Mapping[str, Any] = {}
    count = 2
    # Its first look comes after a second: until then it is starting.
    options = ("--health-cmd", "true", "--health-interval", "1s")
    expected = (True, True)

    def start(self) -> None:
        super().start()
        self.before = {one["State"]["Pid"] for one in self.inspected()}

    def effect(self) -> Any:
        return tuple(one["State"]["Pid"] not in self.before for one in self.inspected())


class DockerPauseRig(DockerRig):
    slow = True
    verb = Verb.PAUSE
    args: Mapping[str, Any] = {}
    expected = ("paused",)


class DockerThrottleRig(DockerRig):
    verb = Verb.THROTTLE
    args: Mapping[str, Any] = {"factor": 0.5}
    expected = (0.5,)

    def effect(self) -> Any:
        return tuple(self.engine.quota(seed) for seed in self.seeds)


class DockerStopRig(DockerRig):
    slow = True
    verb = Verb.STOP
    args: Mapping[str, Any] = {}
    expected = ("exited",)


class DockerStartRig(DockerRig):
    slow = True
    verb = Verb.START
    args: Mapping[str, Any] = {}
    expected = ("running",)

    def start(self) -> None:
        super().start()
        self.engine.client("stop", *self.seeds)
