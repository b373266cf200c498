"""A real Celery worker, over a real Redis and over folders."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from catalog.inventory import Target
from catalog.model import Verb
from tests.contract.drivers.rigs.base import Rig, until
from tests.contract.drivers.rigs.packages import libraries, unpacked

# The worker tells a file what it really does, so that tests need not ask it the way the driver does.
APP = """
import json, os, threading, time
from celery import Celery
from celery.signals import worker_ready

app = Celery("work", broker=os.environ["BROKER"])
app.conf.update(json.loads(os.environ["SETTINGS"]))

@app.task(rate_limit="60/m")
def learn():
    pass

@app.task
def forget():
    pass

@app.task
def nap(seconds, marker):
    open(marker, "a").write("begun ")
    time.sleep(seconds)
    open(marker, "a").write("done ")

@worker_ready.connect
def tell(sender, **_):
    def forever():
        while True:
            told = {
                "rates": {task: app.tasks[f"work.{task}"].rate_limit for task in ("learn", "forget")},
                "queues": sorted(queue.name for queue in sender.task_consumer.queues),
            }
            with open("told.new", "w") as file:
                json.dump(told, file)
            os.replace("told.new", "told.json")
            time.sleep(0.05)
    threading.Thread(target=forever, daemon=True).start()
"""
NODE = "w1@rig"


def redis_server() -> tuple[Path, Mapping[str, str]]:
    """The program and the environment it runs in: Debian's package, unpacked."""
    (root,) = unpacked("redis-tools")
    # One program under several names; its name says what it is to be.
    program = root / "usr" / "bin" / "redis-server"
    if not program.exists():
        program.symlink_to("redis-check-rdb")
    return program, libraries(root)


class CeleryRig(Rig):
    kind = "celery"
    verb = Verb.SCALE
    args: Mapping[str, Any] = {"by": 1}
    expected: Any = 3
    step_timeout = 40.0
    slow = True
    pool = ("-c", "2")

    def start(self) -> None:
        self.broker_start()
        self.work = self.folder / "work"
        self.work.mkdir()
        (self.work / "work.py").write_text(APP)
        self.worker = None
        self.worker = self.spawn(
            sys.executable, "-m", "celery", "-A", "work", "worker", "-n", NODE, "-l", "WARNING", *self.pool,
            "--without-gossip", "--without-mingle", "--without-heartbeat",
            ready=self._ready, cwd=self.work, env={**os.environ, **self.environment()},
        )  # fmt: skip
        # At once, with its processes: the polite way waits for rounds of Celery's own.
        self.stack.callback(os.killpg, self.worker.pid, signal.SIGKILL)
        self.before = self.pids()

    def environment(self) -> dict[str, str]:
        settings = {"broker_transport_options": self.options(), "worker_prefetch_multiplier": 1}
        return {"BROKER": self.broker, "SETTINGS": json.dumps(settings), "C_FORCE_ROOT": "1"}

    def _ready(self) -> bool:
        return (self.work / "told.json").exists()

    def broker_start(self) -> None:
        self.socket = self.folder / "redis.sock"
        program, environment = redis_server()
        self.redis = self.spawn(
            str(program), "--port", "0", "--unixsocket", str(self.socket), "--save", "", *self.redis_settings(),
            ready=self.redis_answers, env=environment, cwd=self.folder,
        )  # fmt: skip
        self.broker = f"redis+socket://{self.socket}"

    def redis_settings(self) -> tuple[str, ...]:
        return ()

    def redis_answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(5)
                link.connect(str(self.socket))
                link.sendall(b"PING\r\n")
                return link.recv(100) != b""
        except OSError:
            return False

    def options(self) -> dict[str, Any]:
        return {}

    def pids(self) -> list[int]:
        """The worker's children, from the kernel."""
        children = psutil.Process(self.worker.pid).children() if self.worker else []
        return sorted(child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE)

    def told(self) -> Any:
        """As it stands now, not when it was last written."""
        (self.work / "told.json").unlink(missing_ok=True)
        until(self._ready, 5)
        return json.loads((self.work / "told.json").read_text())

    def config(self) -> Mapping[str, Any]:
        return {
            "broker": self.broker,
            "broker_options": self.options(),
            "nodes": [NODE],
            "throttle": {"tasks": ["work.learn"]},
            "pause": {"queues": ["celery"]},
        }

    def effect(self) -> Any:
        return len(self.pids())

    def _over(self, path: Path) -> Target:
        return self.target(broker=f"redis+socket://{path}", broker_options={}).model_copy(update={"step_timeout": 3.0})

    def hanging(self) -> Target:
        return self._over(self.server(None))

    def garbled(self) -> Target:
        return self._over(self.server(b"]]nonsense\r\n"))

    def forbid(self) -> None:
        self.socket.chmod(0o700)

    def send(self, task: str, *args: Any) -> None:
        """Have the worker do a task."""
        from celery import Celery

        app = Celery(broker=self.broker, set_as_current=False)
        app.conf.broker_transport_options = self.options()
        app.send_task(f"work.{task}", args)
        app.close()


class CeleryRestartRig(CeleryRig):
    verb = Verb.RESTART
    args: Mapping[str, Any] = {}

    @staticmethod
    def expected(before: Any) -> Any:
        return [True, True]

    def effect(self) -> Any:
        """Per process: is it a new one?"""
        return [pid not in self.before for pid in self.pids()]


class CeleryThrottleRig(CeleryRig):
    verb = Verb.THROTTLE
    args: Mapping[str, Any] = {"factor": 0.5}
    expected = {"learn": "30/m", "forget": None}  # noqa: RUF012

    def effect(self) -> Any:
        return self.told()["rates"]


class CeleryPauseRig(CeleryRig):
    verb = Verb.PAUSE
    args: Mapping[str, Any] = {}
    expected: Any = []  # noqa: RUF012

    def effect(self) -> Any:
        return self.told()["queues"]


class CeleryFoldersRig(CeleryRig):
    """The broker is a folder of messages."""

    def broker_start(self) -> None:
        self.broker = "filesystem://"
        self.messages = self.folder / "messages"
        for name in ("messages", "control"):
            (self.folder / name).mkdir()

    def options(self) -> dict[str, Any]:
        folder = str(self.messages)
        return {
            "data_folder_in": folder, "data_folder_out": folder, "control_folder": str(self.folder / "control"),
        }  # fmt: skip

    def forbid(self) -> None:
        self.messages.chmod(0o700)
        (self.folder / "control").chmod(0o700)


class CeleryFoldersPauseRig(CeleryFoldersRig, CeleryPauseRig):
    pass


class CeleryFoldersThrottleRig(CeleryFoldersRig, CeleryThrottleRig):
    pass
