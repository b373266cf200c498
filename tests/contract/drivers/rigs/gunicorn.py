"""A real gunicorn master, driven by its control socket and by signals."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import psutil

from catalog.inventory import Target
from catalog.model import Verb
from tests.contract.drivers.rigs.base import Rig

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


class GunicornRig(Rig):
    kind = "gunicorn"
    verb = Verb.SCALE
    args: Mapping[str, Any] = {"by": 1}
    expected = 2
    by_control = True
    workers = 1
    step_timeout = 20.0

    def start(self) -> None:
        (self.folder / "gapp.py").write_text(APP)
        self.pidfile = self.folder / "g.pid"
        self.socket = self.folder / "g.ctl"
        control = ["--control-socket", str(self.socket)] if self.by_control else ["--no-control-socket"]
        self.spawn(
            sys.executable, "-m", "gunicorn", "-w", str(self.workers), "-b", f"unix:{self.folder}/g.sock",
            "-p", str(self.pidfile), "-n", "api-1", "--worker-tmp-dir", "/dev/shm", *control, "gapp:app",
            ready=self._up, cwd=self.folder,
        )  # fmt: skip
        self.before = self.pids()

    def _up(self) -> bool:
        answers = self.socket.exists() or not self.by_control
        return self.pidfile.exists() and answers and len(self.pids()) == self.workers

    def pids(self) -> list[int]:
        """The master's children, from the kernel."""
        return sorted(child.pid for child in psutil.Process(int(self.pidfile.read_text())).children())

    def config(self) -> Mapping[str, Any]:
        control = str(self.socket) if self.by_control else None
        return {"members": [{"name": "api-1", "pidfile": str(self.pidfile), "control": control, "proc_name": "api-1"}]}

    def _member(self, **changes: Any) -> Target:
        return self.target(members=[{**self.config()["members"][0], **changes}])

    def effect(self) -> Any:
        return len(self.pids())

    def hanging(self) -> Target | None:
        return self._member(control=str(self.server(None)))

    def garbled(self) -> Target | None:
        return self._member(control=str(self.server(b"\0\0\0\x0fnot json at all")))


class GunicornSignalsRig(GunicornRig):
    by_control = False

    def hanging(self) -> Target | None:
        return None

    def garbled(self) -> Target | None:
        stale = self.folder / "stale.pid"
        stale.write_text("1")
        return self._member(pidfile=str(stale))


class GunicornRestartRig(GunicornRig):
    verb = Verb.RESTART
    args: Mapping[str, Any] = {}
    workers = 2

    @staticmethod
    def expected(before: Any) -> Any:
        return [True, True]

    def effect(self) -> Any:
        """Per worker: is it a new one?"""
        return [pid not in self.before for pid in self.pids()]


class GunicornSignalsRestartRig(GunicornRestartRig):
    by_control = False

    def hanging(self) -> Target | None:
        return None

    garbled = GunicornSignalsRig.garbled
