"""The same setting in a real PostgreSQL: a private cluster under an unprivileged user."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from catalog.inventory import Target
from catalog.model import Verb
from tests.contract.drivers.rigs.base import NOBODY, Rig, until
from tests.contract.drivers.rigs.packages import libraries, unpacked

SETTINGS = {
    "throttle": {
        "read": "SELECT value FROM control WHERE name = 'rate_limit'",
        "write": "UPDATE control SET value = CAST(:value AS text) WHERE name = 'rate_limit'",
        "min": 1,
    },
    "pause": {
        "read": "SELECT value FROM control WHERE name = 'paused'",
        "write": "UPDATE control SET value = CAST(:value AS text) WHERE name = 'paused'",
    },
}
SCHEMA = """
DROP TABLE IF EXISTS control;
DROP ROLE IF EXISTS grace;
CREATE ROLE grace LOGIN;
CREATE TABLE control (name text PRIMARY KEY, value text);
INSERT INTO control VALUES ('rate_limit', '60'), ('paused', '0');
GRANT SELECT, UPDATE (value) ON control TO grace;
"""


@cache
def programs() -> tuple[Path, Mapping[str, str]]:
    """The folder of `initdb` and `postgres`, and the environment that they run in."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)):
        if (folder / "initdb").exists():
            return folder, dict(os.environ)
    package = _package()
    (root,) = unpacked(package)
    return next(root.glob("usr/lib/postgresql/*/bin")), libraries(root)


def _package() -> str:
    """The distribution's own version of PostgreSQL, such as `postgresql-15`."""
    told = subprocess.run(["apt-cache", "show", "postgresql"], capture_output=True, text=True, check=True).stdout
    return next(
        word.strip(",")
        for line in told.splitlines()
        if line.startswith("Depends:")
        for word in line.split()
        if word.startswith("postgresql-") and word.strip(",").removeprefix("postgresql-").isdigit()
    )


def unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


@cache
def server() -> Path:
    """The folder of the server's socket. One server serves all tests; it ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="gd-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    folder.chmod(0o755)
    programs_folder, environment = programs()
    data = folder / "data"
    common: dict[str, Any] = {"env": environment, "cwd": folder, **unprivileged()}
    initdb = [programs_folder / "initdb", "-D", data, "-A", "trust", "-U", "admin", "--no-sync", "--wal-segsize=1"]
    subprocess.run([*initdb, "-E", "UTF8", "--locale=C"], check=True, capture_output=True, **common)
    settings = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off", "max_wal_size": "32MB"}
    given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        postmaster = subprocess.Popen(
            [programs_folder / "postgres", "-D", data, *given], stdout=log, stderr=log, start_new_session=True, **common
        )
    atexit.register(_stop, postmaster)
    until(lambda: postmaster.poll() is not None or _answers(folder), 20)
    return folder


def _stop(postmaster: subprocess.Popen[bytes]) -> None:
    # Fast shutdown: the polite one waits for every connection to leave.
    postmaster.send_signal(signal.SIGINT)
    try:
        postmaster.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(postmaster.pid, signal.SIGKILL)


def _answers(folder: Path) -> bool:
    try:
        connect(folder).close()
    except psycopg.OperationalError:
        return False
    return True


def connect(folder: Path) -> psycopg.Connection[Any]:
    """As the database's owner."""
    return psycopg.connect(host=str(folder), user="admin", dbname="postgres", connect_timeout=5, autocommit=True)


class PostgresRig(Rig):
    kind = "sql"
    verb = Verb.THROTTLE
    args: Mapping[str, Any] = {"factor": 0.5}
    expected = {"rate_limit": "30", "paused": "0"}  # noqa: RUF012
    step_timeout = 1.5

    def start(self) -> None:
        self.sockets = server()
        self.link = connect(self.sockets)
        self.stack.callback(self.link.close)
        self.link.execute(SCHEMA)

    def url(self, folder: Path) -> str:
        return f"postgresql://grace@/postgres?host={folder}"

    def config(self) -> Mapping[str, Any]:
        return {"url": self.url(self.sockets), "settings": SETTINGS}

    def effect(self) -> Any:
        return dict(self.link.execute("SELECT name, value FROM control").fetchall())

    def hanging(self) -> Target:
        """Somebody else's transaction holds the table, and does not end."""
        link = connect(self.sockets)
        self.stack.callback(link.close)
        link.execute("BEGIN; LOCK TABLE control IN ACCESS EXCLUSIVE MODE")
        return self.target()

    def garbled(self) -> Target:
        folder = self.folder / "garbage"
        folder.mkdir()
        (folder / ".s.PGSQL.5432").symlink_to(self.server(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        return self.target(url=self.url(folder))

    def forbid(self) -> None:
        self.link.execute("REVOKE UPDATE (value) ON control FROM grace")


class PostgresPauseRig(PostgresRig):
    verb = Verb.PAUSE
    args: Mapping[str, Any] = {}
    expected = {"rate_limit": "60", "paused": "1"}  # noqa: RUF012
