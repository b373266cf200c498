"""A private PostgreSQL cluster under an unprivileged user: started, stopped and killed at will."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import psycopg

from tests.contract.drivers.rigs.base import NOBODY, short_folder, until
from tests.contract.drivers.rigs.postgres import programs, unprivileged

_NUMBER = count(1)


@cache
def _made() -> Path:
    """An empty cluster, made once and copied for everybody who wants one."""
    folder = Path(tempfile.mkdtemp(prefix="gl-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    bin_folder, environment = programs()
    subprocess.run(
        [bin_folder / "initdb", "-D", folder / "data", "-A", "trust", "-U", "grace", "--no-sync", "--wal-segsize=4",
         "-E", "UTF8", "--locale=C.UTF-8"],
        env=environment, cwd=folder, check=True, capture_output=True, **unprivileged(),
    )  # fmt: skip
    return folder / "data"


class Cluster:
    """One server on a unix socket. `settings` are PostgreSQL's own; not synced to disk unless they say so."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.sockets = folder / "s"
        self.sockets.mkdir()
        self.sockets.chmod(0o777)
        subprocess.run(["cp", "-a", _made(), folder / "data"], check=True)
        self._settings = {"fsync": "off", "max_wal_size": "64MB", "max_connections": "120", **settings}
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin, and wait until it lets clients in."""
        bin_folder, environment = programs()
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.sockets), **self._settings}
        with (self.folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                [bin_folder / "postgres", "-D", self.folder / "data",
                 *(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))],
                env=environment, cwd=self.folder, stdout=log, stderr=log, **unprivileged(),
            )  # fmt: skip
        until(self.answers, 30)

    def answers(self) -> bool:
        try:
            self.ask("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT ends every session first, SIGQUIT is a crash."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(30)
            self._server = None

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"grace{next(_NUMBER)}"
        self.ask(f"CREATE DATABASE {name}")
        return f"postgresql://grace@/{name}?host={self.sockets}"

    def ask(self, statement: str, url: str | None = None) -> list[tuple[object, ...]]:
        """As the owner, beside the ledger."""
        place = url or f"postgresql://grace@/postgres?host={self.sockets}"
        with psycopg.connect(place, autocommit=True, connect_timeout=3) as link:
            done = link.execute(statement)
            return done.fetchall() if done.description else []


@contextmanager
def cluster(**settings: str) -> Iterator[Cluster]:
    """A running cluster; gone afterwards."""
    with short_folder() as folder:
        made = Cluster(folder, **settings)
        made.start()
        try:
            yield made
        finally:
            made.stop(signal.SIGQUIT)
