"""The whole loop, as a user starts it: `grace up --drill` on free ports and a fresh data folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stack.tools import Tool
from tests.conftest import TOOLS_FOLDER

GREEN_WITHIN = 120.0
STOPPED_WITHIN = 15.0


class Loop:
    """A running `grace up --drill`: its command line, its peers' APIs, its files."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.log = data.parent / "up.log"
        with self.log.open("wb") as log:
            ports = [
                each
                for part in ("exporter", "remediator", "prometheus", "alertmanager", "loadbalancer")
                for each in (f"--{part}-port", "0")
            ]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "grace", "up", "--drill", "--data", str(data), *ports],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self.until(lambda: "all green" in self.log.read_text() or self.process.poll() is not None, GREEN_WITHIN)
            assert self.process.poll() is None, self.log.read_text()
            self.urls: Mapping[str, str] = json.loads((data / "up.json").read_text())["urls"]
        except BaseException:
            self.end()
            raise

    @property
    def children(self) -> dict[str, int]:
        """Pids of the stack's children by name, now."""
        return dict(json.loads((self.data / "up.json").read_text())["children"])

    def grace(self, *argv: str, within: float = 240.0, data: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command as its user would, on this data folder or another."""
        return subprocess.run(
            [sys.executable, "-m", "grace", *argv, "--data", str(data or self.data)],
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )

    def drill(self, name: str) -> dict[str, Any]:
        """Run one drill; its report. Fails with everything it said when it did not end as it should."""
        done = self.grace("drill", name, "--json")
        assert done.returncode == 0, f"{done.stderr}\n{done.stdout}\n{self._logs()}"
        (report,) = json.loads(done.stdout)
        print(done.stderr)
        return dict(report)

    def get(self, path: str) -> Any:
        """A document of the remediator's API."""
        request = urllib.request.Request(self.urls["remediator"] + path)
        request.add_header("Authorization", f"Bearer {(self.data / 'tokens' / 'admin').read_text()}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def items(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(path)["items"]
        return found

    def text(self, part: str, path: str) -> str:
        """What a part answers, as text."""
        with urllib.request.urlopen(self.urls[part] + path, timeout=10) as answer:
            return str(answer.read().decode())

    def status(self) -> dict[str, Any]:
        done = self.grace("status", "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    @staticmethod
    def until(holds: Callable[[], Any], within: float) -> Any:
        """Poll until something holds; what it gave."""
        deadline = time.monotonic() + within
        while not (found := holds()):
            assert time.monotonic() < deadline, f"it did not come to hold within {within:g} s"
            time.sleep(0.2)
        return found

    def stop(self) -> float:
        """End it as Ctrl-C does; the seconds it took."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(STOPPED_WITHIN)
        return time.monotonic() - began

    def end(self) -> None:
        """Nothing of it runs any more, whether it stopped as it should or not."""
        try:
            self.stop()
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def _logs(self) -> str:
        tails = [self.log.read_text()[-3000:]]
        tails += [
            f"--- {path.name}\n{path.read_text()[-1500:]}" for path in (self.data / "logs").glob("remediator.log")
        ]
        return "\n".join(tails)


@contextmanager
def looping(prepare: Callable[[Path], None] = lambda data: None) -> Iterator[Loop]:
    """A loop on a fresh data folder, which `prepare` may make and fill before; both are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="grace-"))
    os.environ.setdefault("GRACE_TOOLS", str(TOOLS_FOLDER))
    try:
        prepare(folder / "data")
        running = Loop(folder / "data")
        try:
            yield running
        finally:
            running.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def loop(tools: Mapping[str, Tool]) -> Iterator[Loop]:
    """One loop for a module's tests, in the order in which they stand: a story, on one data folder."""
    with looping() as running:
        yield running
