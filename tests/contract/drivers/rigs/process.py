"""A real circus arbiter with one watcher."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import Any

import psutil
import zmq

from catalog.inventory import Target
from catalog.model import Verb
from tests.contract.drivers.rigs.base import Rig

CONFIG = """
[circus]
endpoint = ipc://{folder}/circus.sock
pubsub_endpoint = ipc://{folder}/pubsub.sock
umask = 077

[watcher:pool]
cmd = {python} -c "import time; time.sleep(3600)" pool-member
numprocesses = {count}
copy_env = True
"""


class ProcessRig(Rig):
    kind = "process"
    verb = Verb.SCALE
    args: Mapping[str, Any] = {"factor": 1.5}
    count = 2
    expected = 3

    def start(self) -> None:
        file = self.folder / "circus.ini"
        file.write_text(CONFIG.format(folder=self.folder, python=sys.executable, count=self.count))
        self.arbiter = None
        self.arbiter = self.spawn(
            sys.executable, "-c", "from circus.circusd import main; main()", str(file), ready=lambda: True
        )
        from tests.contract.drivers.rigs.base import until

        until(lambda: (self.folder / "circus.sock").exists() and len(self.pids()) == self.count, 15)
        self.before = self.pids()

    def pids(self) -> list[int]:
        """The arbiter's children, from the kernel."""
        found = []
        for child in psutil.Process(self.arbiter.pid).children():
            try:
                if "pool-member" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child.pid)
            except psutil.NoSuchProcess:
                continue
        return sorted(found)

    def config(self) -> Mapping[str, Any]:
        return {"endpoint": f"ipc://{self.folder}/circus.sock", "watcher": "pool", "kill_after": 2}

    def effect(self) -> Any:
        return len(self.pids())

    def hanging(self) -> Target:
        return self.target(endpoint=f"ipc://{self.server(None)}").model_copy(update={"step_timeout": 1.0})

    def garbled(self) -> Target:
        path = self.folder / "garbage.sock"
        context = zmq.Context()
        router = context.socket(zmq.ROUTER)
        router.setsockopt(zmq.LINGER, 0)
        router.setsockopt(zmq.RCVTIMEO, 100)
        router.bind(f"ipc://{path}")
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    sender, _ = router.recv_multipart()
                except zmq.Again:
                    continue
                router.send_multipart([sender, b"]]nonsense"])
            router.close()
            context.term()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()

        def stop() -> None:
            done.set()
            thread.join(5)

        self.stack.callback(stop)
        return self.target(endpoint=f"ipc://{path}")


class ProcessRestartRig(ProcessRig):
    verb = Verb.RESTART
    args: Mapping[str, Any] = {}

    @staticmethod
    def expected(before: Any) -> Any:
        return [True, True]

    def effect(self) -> Any:
        return [pid not in self.before for pid in self.pids()]


class ProcessStartRig(ProcessRig):
    verb = Verb.START
    args: Mapping[str, Any] = {}
    count = 0
    expected = 4


class ProcessStopRig(ProcessRig):
    verb = Verb.STOP
    args: Mapping[str, Any] = {}
    expected = 0
