"""What healing changed, read from the platforms themselves: HAProxy's socket, /proc, SQLite, the file system."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from demo.layout import SHARDS, Layout

State = tuple[int, ...] | int | float | str


class Outside:
    """Reads the workload below one folder. Every method raises OSError or sqlite3.Error where it cannot be read."""

    def __init__(self, place: Layout) -> None:
        self._place = place

    def weight(self, server: str) -> int:
        """The weight that HAProxy gives this server."""
        answer = self.balancer(f"get weight api/{server}")
        try:
            return int(answer.split()[0])
        except (IndexError, ValueError):
            raise OSError(f"HAProxy says of {server}: {answer.strip()}") from None

    def shard_workers(self, *shards: str) -> tuple[int, ...]:
        """The pids of the gunicorn workers of these shards (all where none is named)."""
        masters = [int(self._place.shard_pidfile(shard).read_text()) for shard in shards or SHARDS]
        try:
            return tuple(sorted(child.pid for master in masters for child in psutil.Process(master).children()))
        except psutil.NoSuchProcess as error:
            raise OSError(str(error)) from error

    def pool_workers(self) -> tuple[int, ...]:
        """The pids of the pool's worker processes, as /proc lists them."""
        db = str(self._place.tasks)
        found = []
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if "demo.worker" in command and db in command:
                found.append(process.pid)
        return tuple(sorted(found))

    def oldest_worker(self) -> str:
        """The name of the worker that has been in the pool longest."""
        return str(self._row(self._place.tasks, "SELECT name FROM workers ORDER BY rowid LIMIT 1")[0])

    def waiting(self) -> int:
        """Tasks that nobody has claimed."""
        return int(self._row(self._place.tasks, "SELECT count(*) FROM tasks WHERE started_at IS NULL")[0])

    def setting(self, name: str) -> float:
        """A setting that ingestion obeys."""
        return float(self._row(self._place.learning, "SELECT value FROM control WHERE name = ?", name)[0])

    def sessions(self) -> int:
        """Sessions that ingestion ever started."""
        return int(self._row(self._place.learning, "SELECT count(*) FROM sessions")[0])

    def volume_bytes(self) -> int:
        """Bytes on the demo volume."""
        return sum(path.stat().st_size for path in self._place.volume.rglob("*") if path.is_file())

    def expired_files(self) -> int:
        """Files below the demo volume's `expired/`."""
        return sum(1 for _ in (self._place.volume / "expired").iterdir())

    def reports(self) -> int:
        """Reports that Grace keeps."""
        return sum(1 for _ in (self._place.root.parent / "reports").glob("*.md"))

    def balancer(self, command: str) -> str:
        """What HAProxy answers to a command of its runtime API."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self._place.balancer_socket))
            connection.sendall(f"{command}\n".encode())
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        return answer.decode(errors="replace")

    @staticmethod
    def _row(db: object, sql: str, *values: str) -> tuple[int | float | str, ...]:
        connection = sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=5.0)
        try:
            row = connection.execute(sql, values).fetchone()
        finally:
            connection.close()
        if row is None:
            raise sqlite3.DataError(f"no row for {sql}")
        return tuple(row)


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing to be seen from outside, before the fault and after the heal."""

    what: str
    read: Callable[[Outside], State]


WEIGHT = Effect("weight of api-1 in HAProxy", lambda outside: outside.weight("api-1"))
SHARD_WORKERS = Effect("gunicorn workers in /proc", lambda outside: len(outside.shard_workers()))
SHARD_PIDS = Effect("pids of api-1's workers", lambda outside: outside.shard_workers("api-1"))
POOL_WORKERS = Effect("worker processes in /proc", lambda outside: len(outside.pool_workers()))
WAITING = Effect("tasks waiting", lambda outside: outside.waiting())
PAUSED = Effect("ingestion paused", lambda outside: int(outside.setting("paused")))
RATE_LIMIT = Effect("sessions allowed a minute", lambda outside: outside.setting("rate_limit"))
REPORTS = Effect("reports kept", lambda outside: outside.reports())
EXPIRED = Effect("expired files on the volume", lambda outside: outside.expired_files())
