"""A world of many small targets, each a row of one SQLite file that counts its own changes, with one or several real
`grace remediator` processes healing it.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.contract.drivers.rigs.base import short_folder
from tests.contract.ledger.cluster import cluster
from tests.integration.remediator.conftest import Service, payload

METRIC = "infra.cpu_utilization"
POLICY: Mapping[str, Any] = {
    "evidence": "trust_alert",
    "ceiling": "tier_2",
    "rates": {"per_target_hour": 100000, "all_hour": 100000},
    "storm": {"enter_groups": 100000, "leave_below": 1},
}
"""Alerts at their word, and budgets that nobody reaches: what is proven here is the machinery below governance."""


def overlay(verb: str, args: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """A catalog laid over the shipped one, in which the CPU metric is answered by one step of this verb."""
    step = {"verb": verb, **({"args": dict(args)} if args else {})}
    return {
        "metrics": [{"id": METRIC, "warning": ["prove-step"], "critical": ["prove-step"]}],
        "playbooks": [
            {
                "id": "prove-step",
                "title": "One step",
                "tier": "tier_1",
                "risk": "low",
                "steps": [step],
                "verified_by": "containment",
                "if_ineffective": "keep",
                "release": "person",
            }
        ],
    }


class Rows:
    """The targets: `t-0` and so on, each a number that one step halves."""

    START = 64

    def __init__(self, folder: Path, count: int) -> None:
        self.path = folder / "rows.db"
        self.names = [f"t-{number}" for number in range(count)]
        with closing(sqlite3.connect(self.path)) as db, db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE control (name TEXT PRIMARY KEY, value INTEGER)")
            db.execute("CREATE TABLE changes (name TEXT, was INTEGER, became INTEGER)")
            db.execute(
                "CREATE TRIGGER counts AFTER UPDATE ON control WHEN OLD.value <> NEW.value "
                "BEGIN INSERT INTO changes VALUES (NEW.name, OLD.value, NEW.value); END"
            )
            db.executemany("INSERT INTO control VALUES (?, ?)", [(name, self.START) for name in self.names])

    def inventory(self) -> dict[str, Any]:
        return {
            name: {
                "driver": "sql",
                "resources": [name],
                "step_timeout": 2,
                "config": {
                    "url": f"sqlite:///{self.path}",
                    "settings": {
                        "throttle": {
                            "read": f"SELECT value FROM control WHERE name = '{name}'",
                            "write": f"UPDATE control SET value = :value WHERE name = '{name}'",
                            "min": 1,
                        }
                    },
                },
            }
            for name in self.names
        }

    def changes(self) -> dict[str, list[tuple[int, int]]]:
        """Every change of every target, in order."""
        found: dict[str, list[tuple[int, int]]] = {name: [] for name in self.names}
        with closing(sqlite3.connect(self.path)) as db:
            for name, was, became in db.execute("SELECT name, was, became FROM changes ORDER BY rowid"):
                found[name].append((was, became))
        return found


class Replica(Service):
    """One of the remediators that share a ledger; the first one's tokens are everybody's."""

    def __init__(
        self,
        folder: Path,
        port: int,
        inventory: Mapping[str, Any],
        *,
        ledger: str | None = None,
        catalog: Mapping[str, Any],
        policy: Mapping[str, Any] = POLICY,
        **more: Any,
    ) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder, port, inventory, policy)
        (folder / "overlay.yaml").write_text(yaml.safe_dump(dict(catalog)))
        written = yaml.safe_load(self.config.read_text())
        written |= {"catalog": ["overlay.yaml"], **more}
        if ledger:
            written["ledger"] = {"url": ledger}
        self.config.write_text(yaml.safe_dump(written))

    def tokens_of(self, other: Service) -> None:
        shutil.copytree(other.data / "tokens", self.data / "tokens")

    def signal(self, number: signal.Signals) -> None:
        assert self.child is not None
        self.child.send_signal(number)

    def log(self) -> list[dict[str, Any]]:
        """What it logged, as far as it is JSON."""
        found = []
        for line in (self.folder / "remediator.log").read_text(errors="replace").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def post(self, target: str) -> int:
        """Deliver the target's alert; the status, or 0 where nobody answered."""
        try:
            return self.call("POST", "/api/v1/alerts", payload(METRIC, target), token="alertmanager")[0]
        except OSError:
            return 0


@contextmanager
def replicas(
    engine: str, count: int, targets: int, free_port: Callable[[], int], **server: str
) -> Iterator[tuple[list[Replica], Rows]]:
    """So many remediators, not started yet, on one ledger, with so many targets."""
    with short_folder() as folder:
        rows = Rows(folder, targets)
        catalog = overlay("throttle", {"factor": 0.5})

        def made(ledger: str | None) -> list[Replica]:
            return [
                Replica(folder / f"r{number}", free_port(), rows.inventory(), ledger=ledger, catalog=catalog)
                for number in range(count)
            ]

        if engine == "sqlite":
            yield from _ended(made(None), rows)
        else:
            with cluster(**server) as cluster_:
                yield from _ended(made(cluster_.database()), rows)


def _ended(made: list[Replica], rows: Rows) -> Iterator[tuple[list[Replica], Rows]]:
    try:
        yield made, rows
    finally:
        for each in made:
            if each.child is not None and each.child.poll() is None:
                each.child.send_signal(signal.SIGCONT)
            each.kill()


def start_all(made: list[Replica]) -> None:
    """The first one writes the tokens, the others have them from it."""
    made[0].start()
    for each in made[1:]:
        if not (each.data / "tokens").exists():
            each.tokens_of(made[0])
        each.start()


def whole(replica: Replica) -> str:
    """What `grace audit verify` says of the ledger; empty when the record is whole."""
    done: subprocess.CompletedProcess[str] = replica.grace("audit", "verify")
    return "" if done.returncode == 0 else done.stdout + done.stderr
