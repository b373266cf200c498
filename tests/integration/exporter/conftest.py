"""Real processes: the exporter's own, and gunicorn with a service that is measured."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SERVICE = """
import asyncio
from aiohttp import web
from exporter.middleware.aiohttp import instrument

async def answer(request):
    await asyncio.sleep(float(request.query.get("sleep", "0")))
    return web.Response(status=int(request.match_info["code"]))

async def app():
    found = web.Application(middlewares=[instrument()])
    found.router.add_get("/answer/{code}", answer)
    return found
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str, **headers: str) -> str:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for the condition, or fail. States of other processes give no event."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, KeyError):
            if condition():
                return
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def samples(text: str) -> dict[str, float]:
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {key: float(value) for key, value in pairs}


class Service:
    """gunicorn with aiohttp workers over a unix socket's worth of a port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.multiproc = folder / "multiproc"
        self.pidfile = folder / "service.pid"
        self.port = free_port()
        (folder / "measured_service.py").write_text(SERVICE)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self.multiproc), "PYTHONPATH": os.getcwd()}
        address = f"127.0.0.1:{self.port}"
        argv = ["-m", "gunicorn", "-w", "2", "-k", "aiohttp.GunicornWebWorker", "-b", address, "--pid", self.pidfile]
        self.process = subprocess.Popen(
            [sys.executable, *map(str, argv), "measured_service:app"],
            cwd=self.folder,
            env=environment,
            stderr=(self.folder / "service.log").open("wb"),
        )
        until(lambda: self.ask(200))

    def ask(self, code: int, sleep: float = 0.0) -> bool:
        with contextlib.suppress(urllib.error.HTTPError):
            get(f"http://127.0.0.1:{self.port}/answer/{code}?sleep={sleep}")
        return True

    def workers(self) -> list[int]:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    found = Service(tmp_path)
    found.start()
    yield found
    found.stop()


class Exporter:
    """`grace exporter` as a person starts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.extra: tuple[str, ...] = ()

    def configure(self, collectors: str, grace: str = "time_scale: {drill: true}\n") -> None:
        (self.folder / "exporter.yml").write_text(collectors)
        (self.folder / "grace.yml").write_text(f"exporter: exporter.yml\n{grace}")

    def command(self, *options: str) -> list[str]:
        config = ["--config", str(self.folder / "grace.yml")]
        listen = ["--web.listen-address", f"127.0.0.1:{self.port}"]
        return [sys.executable, "-m", "grace", "exporter", *config, *listen, *self.extra, *options]

    def start(self, *options: str) -> None:
        self.process = subprocess.Popen(self.command(*options), stderr=(self.folder / "exporter.log").open("ab"))
        until(lambda: get(f"{self.url}/-/healthy"))

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*options), capture_output=True, text=True, timeout=60, check=False)

    def metrics(self) -> dict[str, float]:
        return samples(get(f"{self.url}/metrics"))

    def until(self, condition: Callable[[dict[str, float]], object]) -> None:
        """Wait until the metrics are so."""
        until(lambda: condition(self.metrics()))

    def log(self) -> str:
        return (self.folder / "exporter.log").read_text()

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[Exporter]:
    found = Exporter(tmp_path)
    yield found
    if found.process is not None:
        found.stop()
