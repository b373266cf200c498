"""A real `grace up`, as a process of its own."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

GRACE = (sys.executable, "-m", "grace")
ANY_PORTS = tuple(
    f"--{part}-port=0" for part in ("exporter", "remediator", "prometheus", "alertmanager", "loadbalancer")
)


@dataclass
class Up:
    """A running `grace up`: its lines as they come, its record, and everything it started."""

    data: Path
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    _fresh: queue.Queue[str | None] = field(default_factory=queue.Queue)

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._fresh.put(line)
        self._fresh.put(None)

    def until(self, words: str, seconds: float = 60) -> str:
        """The first line from now on that holds these words."""
        deadline = time.monotonic() + seconds
        while True:
            line = self._fresh.get(timeout=max(0.01, deadline - time.monotonic()))
            assert line is not None, f"grace up ended without {words!r}: {self.lines}"
            if words in line:
                return line

    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "up.json").read_text())
        return found

    def tree(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture(scope="module")
def start_up(tools: object) -> Iterator[Callable[..., Up]]:
    """Starts `grace up` in the drill profile on free ports; all of them are gone at the end."""
    started: list[Up] = []

    def start(data: Path, *options: str) -> Up:
        process = subprocess.Popen(
            [*GRACE, "up", "--drill", "--data", str(data), *ANY_PORTS, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        up = Up(data, process)
        started.append(up)
        threading.Thread(target=up.read, daemon=True).start()
        return up

    yield start
    for up in started:
        if up.process.poll() is None:
            up.process.send_signal(signal.SIGTERM)
        up.process.wait(timeout=20)
