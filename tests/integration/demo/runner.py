"""A small runner for the workload's processes, with real ports and a data folder of its own."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import psutil

from catalog.model import TimeScale
from demo.layout import Layout, layout, tidy
from demo.processes import Process
from demo.workload import Ports, prepare, processes


def free_ports(count: int) -> list[int]:
    """Free ports below those that the kernel gives to outgoing connections: nobody takes them by chance meanwhile."""
    found: list[int] = []
    while len(found) < count:
        port = random.randint(15_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found


def until(what: str, holds: Callable[[], object], within: float = 20.0) -> None:
    """Wait until it holds, looking ten times a second; fail the test when it does not."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.1)


class Workload:
    """The workload's processes, or some of them, run as a supervisor would; `with` stops them all."""

    def __init__(self, data: Path, haproxy: Path, scale: TimeScale) -> None:
        balancer, *agents = free_ports(4)
        self.ports = Ports(balancer, (agents[0], agents[1], agents[2]))
        self.data = data
        prepare(data, self.ports, scale)
        self.place: Layout = layout(data)
        self.url = f"http://127.0.0.1:{balancer}"
        self._specs = {spec.name: spec for spec in processes(data, haproxy, self.ports, scale)}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Workload:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for name in reversed(list(self.running)):
            self.stop(name)
        tidy(self.data)

    def start(self, *names: str) -> None:
        for name in names or tuple(self._specs):
            spec = self._specs[name]
            log = (self.place.root / f"{name}.log").open("ab")
            self.running[name] = subprocess.Popen(
                spec.argv, cwd=spec.cwd, env={**os.environ, **spec.env}, stdout=log, stderr=log, start_new_session=True
            )
            log.close()
            until(f"{name} is ready", lambda spec=spec: self.ready(spec))

    def ready(self, spec: Process) -> bool:
        assert self.running[spec.name].poll() is None, (self.place.root / f"{spec.name}.log").read_text()
        if spec.ready_file and not spec.ready_file.exists():
            return False
        if spec.ready_socket:
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(spec.ready_socket)):
                    return False
        if spec.ready_url:
            try:
                with urllib.request.urlopen(spec.ready_url, timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False
        return True

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        process = self.running.pop(name)
        if process.poll() is not None:
            return
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(number)
        try:
            process.wait(self._specs[name].stop_timeout)
        finally:
            _, left = psutil.wait_procs(family, timeout=5)
            for one in left:
                one.kill()
            process.wait()

    def tree(self, name: str) -> list[psutil.Process]:
        """The processes that this one started, and theirs."""
        return psutil.Process(self.running[name].pid).children(recursive=True)

    def balancer(self, command: str) -> str:
        """What HAProxy answers on its runtime socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.place.balancer_socket))
            connection.sendall(f"{command}\n".encode())
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        return answer.decode()
