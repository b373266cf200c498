"""A real remediator as a process of its own, with one target whose effect can be read back, and the `grace` command."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from grace.main import main

INVENTORY = """
targets:
  ingestion:
    driver: sql
    config:
      url: sqlite:///{db}
      settings:
        pause:
          read: SELECT value FROM control WHERE name = 'paused'
          write: UPDATE control SET value = :value WHERE name = 'paused'
        throttle:
          read: SELECT value FROM control WHERE name = 'rate_limit'
          write: UPDATE control SET value = :value WHERE name = 'rate_limit'
"""


@dataclass
class Rig:
    """The remediator's folder, and the command line pointed at it."""

    folder: Path
    url: str

    def grace(self, *arguments: str) -> Result:
        """Run one command; its result, whatever the exit code."""
        return CliRunner().invoke(main, [*arguments], env={"GRACE_CONFIG": str(self.folder / "grace.yml")})

    def ok(self, *arguments: str) -> str:
        """Run one command that must succeed; its output."""
        result = self.grace(*arguments)
        assert result.exit_code == 0, f"{arguments}: {result.output} {result.exception!r}"
        return result.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json"))

    def until(self, true: Callable[[], Any]) -> Any:
        """The first true value within 20 s."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            value = true()
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError("it did not happen within 20 s")

    def control(self, name: str) -> int:
        """What the ingestion's control table says."""
        with closing(sqlite3.connect(self.folder / "learning.db")) as connection:
            return int(connection.execute("SELECT value FROM control WHERE name = ?", (name,)).fetchone()[0])


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("grace")
    with closing(sqlite3.connect(folder / "learning.db")) as connection, connection:
        connection.execute("CREATE TABLE control (name TEXT PRIMARY KEY, value INTEGER)")
        connection.execute("INSERT INTO control VALUES ('paused', 0), ('rate_limit', 60)")
    (folder / "inventory.yml").write_text(INVENTORY.format(db=folder / "learning.db"))
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    (folder / "grace.yml").write_text(
        f"data_dir: .\ninventory: inventory.yml\nremediator_url: {url}\n"
        f"prometheus: {{url: 'http://127.0.0.1:{_free_port()}'}}\nalertmanager: {{url: 'http://127.0.0.1:{_free_port()}'}}\n"
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "grace", "remediator", "--config", str(folder / "grace.yml"),
             "--web.listen-address", f"127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        _wait(process, f"{url}/-/ready", folder / "log")
        yield Rig(folder, url)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(log.read_text())
