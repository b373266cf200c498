"""A running demo on which playbooks are tried: faults go in, what became of the platforms is read from outside.

What Grace says of itself is only used to know when to look, and which run to give back.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from circus.client import CircusClient

from catalog.model import TimeScale
from demo import faults
from demo.layout import layout
from demo.outside import Outside
from stack.configure import governance
from tests.acceptance.conftest import Loop, looping

SOON: Mapping[str, Any] = {"cooldown": "5s", "attempt_cooldown": "3s", "release_after": "10s"}
"""Laid over the drill profile's policy, so that what healing changed is given back while a test can wait for it."""
LOOK_EVERY = 0.2
DETECTED_AND_DONE = 90.0
"""Seconds from a fault to the effect of the first playbook, at most: on a machine that has other things to do."""
VERIFIED = 120.0
"""Seconds from an effect to its verdict, and from there until it is given back."""


@dataclass(slots=True)
class Stage:
    """One running demo. `began` is when the present test did."""

    loop: Loop
    outside: Outside
    began: float

    # what a test does

    def inject(self, name: str, **sizes: str) -> None:
        """Put a real fault into the workload's processes; `sizes` makes it another one than the drill's."""
        self.began = time.time()
        faults.inject(layout(self.loop.data).faults, name, self.began, **sizes)

    def clear(self, *names: str) -> None:
        """Take these faults out again; every one, where none is named."""
        faults.clear(layout(self.loop.data).faults, *names)

    def grace(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.loop.grace(*argv)

    def approve(self, playbook: str) -> dict[str, Any]:
        """Approve the plan of this playbook, as the one person who is there, once it waits; the approval."""
        waiting = self.until(f"{playbook} waits for approval", lambda: self._pending(playbook), VERIFIED)
        done = self.grace("approvals", "approve", waiting["id"], "--reason", "the proof stands in for a reviewer")
        assert done.returncode == 0, done.stderr
        return waiting

    def give_back(self, how: str, run: Mapping[str, Any]) -> None:
        """`grace undo RUN` or `grace runs release RUN`, as a person does."""
        verb = ("undo",) if how == "undo" else ("runs", "release")
        done = self.grace(*verb, run["id"], "--reason", "the proof gives it back")
        assert done.returncode == 0, done.stderr

    # what Grace says

    def run_of(self, playbook: str, *states: str, within: float = VERIFIED) -> dict[str, Any]:
        """The run of this playbook that began with this test, once it is in one of the states (any, where none).

        It came from an alert that Alertmanager posted, and its incident's record begins with that.
        """
        wanted = f"a run of {playbook}" + (f" is {' or '.join(states)}" if states else "")
        run = self.until(wanted, lambda: self._run(playbook, states), within)
        timeline = self.loop.get(f"/api/v1/incidents/{run['incident_id']}")["timeline"]
        assert timeline[0]["kind"] == "alert_received"
        assert timeline[0]["body"]["source"] == "webhook"
        return run

    def kept(self) -> list[dict[str, Any]]:
        """Runs whose change still stands."""
        return [run for run in self.loop.items("/api/v1/runs?limit=100") if run["kept"]]

    # what is there, read from outside

    def state(self) -> dict[str, Any]:
        """Everything that the workload's playbooks can change, as the platforms have it."""
        return {
            "weights": self.weights(),
            "API workers": len(self.outside.shard_workers()),
            "workers": len(self.pids("workers")),
            "standby": len(self.pids("standby")),
            "nodes": len(self.pids("nodes")),
            "paused": self.outside.setting("paused"),
            "sessions a minute": self.outside.setting("rate_limit"),
        }

    def weights(self) -> tuple[int, int]:
        """Of api-1 and api-2, as HAProxy has them."""
        return self.outside.weight("api-1"), self.outside.weight("api-2")

    def pids(self, watcher: str) -> set[int]:
        """The living processes of one of circus' watchers: circus names them, the kernel says that they live."""
        client = CircusClient(endpoint=layout(self.loop.data).pool_endpoint, timeout=10)
        try:
            named = None
            while named is None:  # it answers nothing else while it starts or ends a process
                named = client.call({"command": "list", "properties": {"name": watcher}}).get("pids")
        finally:
            client.stop()
        return {pid for pid in named if psutil.pid_exists(pid)}

    def server(self, name: str) -> str:
        """What HAProxy says of a server: UP, DOWN, MAINT."""
        head, *rows = self.outside.balancer("show stat").removeprefix("# ").splitlines()
        columns = head.split(",")
        row = next(row.split(",") for row in rows if row.startswith(f"api,{name},"))
        return row[columns.index("status")]

    # waiting

    def until(self, what: str, holds: Callable[[], Any], within: float = DETECTED_AND_DONE) -> Any:
        """Look until something holds; what it gave. Fails with what was waited for, and with what Grace says."""
        deadline = time.monotonic() + within
        while not (found := holds()):
            assert time.monotonic() < deadline, f"not within {within:g} s: {what}\n{self._told()}"
            time.sleep(LOOK_EVERY)
        return found

    def ways(self, read: Callable[[], Any], goal: Any, within: float = VERIFIED) -> list[Any]:
        """What was read on the way to `goal`, each different value once, the goal last."""
        seen = [read()]

        def arrived() -> bool:
            now = read()
            if now != seen[-1]:
                seen.append(now)
            return bool(now == goal)

        self.until(f"{goal} is read", arrived, within)
        return seen

    def calm(self) -> None:
        """Until every metric is good, no incident is open, and nothing that a run changed still stands."""
        self.clear()
        self.until("nothing that healing changed still stands", lambda: not self.kept(), VERIFIED)
        self.rest()

    def rest(self) -> None:
        """Until every metric is good and no incident is open."""
        self.until("no incident is open", lambda: not self._open(), VERIFIED)
        self.until("every metric is good", self._all_good, VERIFIED)

    def _all_good(self) -> bool:
        return all(row["band"] in ("good", "idle") for row in self.loop.status()["metrics"])

    def _open(self) -> list[str]:
        return [each["id"] for each in self.loop.items("/api/v1/incidents?limit=50") if each["state"] != "closed"]

    def _run(self, playbook: str, states: tuple[str, ...]) -> dict[str, Any] | None:
        for run in self.loop.items("/api/v1/runs?all=true&limit=50"):
            mine = run["playbook_id"] == playbook and run["created_at"] >= self.began and run["incident_id"]
            if mine and (not states or run["state"] in states):
                return dict(run)
        return None

    def _pending(self, playbook: str) -> dict[str, Any] | None:
        runs = {run["id"]: run for run in self.loop.items("/api/v1/runs?all=true&state=held")}
        for approval in self.loop.items("/api/v1/approvals?state=pending"):
            if runs.get(approval["run_id"], {}).get("playbook_id") == playbook:
                return dict(approval)
        return None

    def _told(self) -> str:
        incidents = [
            (each["metric_id"], each["state"], each["reason"]) for each in self.loop.items("/api/v1/incidents?limit=8")
        ]
        runs = [
            (run["playbook_id"], run["state"], run["reasons"], run["reason"])
            for run in self.loop.items("/api/v1/runs?all=true&limit=8")
        ]
        return json.dumps({"incidents": incidents, "runs": runs, "outside": self.state()}, indent=1, default=str)


@contextmanager
def stage(policy: Mapping[str, Any], prepare: Callable[[Path], None] = lambda data: None) -> Iterator[Stage]:
    """A demo in the drill profile with this laid over its policy, on a fresh folder that `prepare` may fill before."""

    def filled(data: Path) -> None:
        data.mkdir()
        (data / "governance.yml").write_text(yaml.safe_dump({**governance(TimeScale(drill=True)), **policy}))
        prepare(data)

    began = time.time()
    with looping(filled) as running:
        yield Stage(running, Outside(layout(running.data)), began)
