"""A setting in a real SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from catalog.inventory import Target
from catalog.model import Verb
from tests.contract.drivers.rigs.base import Rig

SETTINGS = {
    "throttle": {
        "read": "SELECT value FROM control WHERE name = 'rate_limit'",
        "write": "UPDATE control SET value = :value WHERE name = 'rate_limit'",
        "min": 1,
    },
    "pause": {
        "read": "SELECT value FROM control WHERE name = 'paused'",
        "write": "UPDATE control SET value = :value WHERE name = 'paused'",
    },
}


class SqliteRig(Rig):
    kind = "sql"
    verb = Verb.THROTTLE
    args: Mapping[str, Any] = {"factor": 0.5}
    expected = {"rate_limit": 30, "paused": 0}  # noqa: RUF012
    step_timeout = 1.5

    def start(self) -> None:
        self.file = self.folder / "learning.db"
        with sqlite3.connect(self.file) as link:
            link.execute("CREATE TABLE control (name TEXT PRIMARY KEY, value)")
            link.executemany("INSERT INTO control VALUES (?, ?)", [("rate_limit", 60), ("paused", 0)])
        link.close()

    def config(self) -> Mapping[str, Any]:
        return {"url": f"sqlite:///{self.file}", "settings": SETTINGS}

    def effect(self) -> Any:
        link = sqlite3.connect(self.file)
        try:
            return dict(link.execute("SELECT name, value FROM control").fetchall())
        finally:
            link.close()

    def hanging(self) -> Target:
        link = sqlite3.connect(self.file, isolation_level=None, check_same_thread=False)
        link.execute("BEGIN EXCLUSIVE")
        self.stack.callback(link.close)
        return self.target()

    def garbled(self) -> Target:
        file = self.folder / "noise.db"
        file.write_bytes(b"this is no database at all" * 100)
        return self.target(url=f"sqlite:///{file}")

    def forbid(self) -> None:
        self.file.chmod(0o444)


class SqlitePauseRig(SqliteRig):
    verb = Verb.PAUSE
    args: Mapping[str, Any] = {}
    expected = {"rate_limit": 60, "paused": 1}  # noqa: RUF012
