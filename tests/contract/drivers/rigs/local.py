"""Commands, files, and what is Grace's own: governance, postmortems, notifications."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catalog.inventory import Target
from catalog.model import Verb
from remediator.drivers.base import World
from remediator.errors import Refused
from tests.contract.drivers.rigs.base import Rig

JOB = "import sys; open('ran', 'a').write('x'); open(sys.argv[1], 'w').write('# trust\\nfine\\n')"


class CommandRig(Rig):
    kind = "command"
    verb = Verb.RUN
    expected = {"ran": "x", "report": "# trust\nfine\n"}  # noqa: RUF012

    def start(self) -> None:
        self.work = self.folder / "work"
        self.work.mkdir(mode=0o777)

    def config(self) -> Mapping[str, Any]:
        return {"argv": [sys.executable, "-c", JOB, "{report}"], "cwd": str(self.work), "timeout": 5}

    def effect(self) -> Any:
        return {"ran": _text(self.work / "ran"), "report": _text(self.folder / "reports" / "run_1-0.md")}

    def hanging(self) -> Target:
        return self.target(argv=[sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.5)

    def garbled(self) -> Target:
        return self.target(argv=[sys.executable, "-c", "print('\\xff' * 10)"])

    def forbid(self) -> None:
        os.chmod(self.folder, 0o700)


class FilesRig(Rig):
    kind = "files"
    verb = Verb.RECLAIM
    expected = ["keep.log", "new.tmp"]  # noqa: RUF012

    def start(self) -> None:
        self.expired = self.folder / "expired"
        self.expired.mkdir()
        for name in ("a.tmp", "b.tmp", "keep.log", "new.tmp"):
            (self.expired / name).write_text("x" * 100)
            age = 0 if name == "new.tmp" else 1000
            os.utime(self.expired / name, (time.time() - age, time.time() - age))

    def config(self) -> Mapping[str, Any]:
        return {"folders": [{"path": str(self.expired), "pattern": "*.tmp", "older_than": "5m"}]}

    def effect(self) -> Any:
        return sorted(path.name for path in self.expired.iterdir())

    def garbled(self) -> Target:
        link = self.folder / "link"
        link.symlink_to(self.expired)
        return self.target(folders=[{"path": str(link), "older_than": "5m"}])

    def forbid(self) -> None:
        self.expired.chmod(0o755)


class GovernanceRig(Rig):
    kind = "governance"
    verb = Verb.GOVERN
    args: Mapping[str, Any] = {"change": "strictness", "by": 1}
    expected = {"strictness": 1, "ceiling": "tier_2", "supervised": False}  # noqa: RUF012

    def start(self) -> None:
        self.settings = {"strictness": 0, "ceiling": "tier_2", "supervised": False}
        self.forbidden = False

    def config(self) -> Mapping[str, Any]:
        return {}

    def world(self) -> World:
        base = super().world()

        async def govern(change: str, desired: Mapping[str, Any], run_id: str) -> Mapping[str, Any]:
            if self.forbidden:
                raise Refused("not now", reason="permission")
            self.settings |= {change: desired[change]}
            return dict(self.settings)

        async def governance() -> Mapping[str, Any]:
            return dict(self.settings)

        return World(base.clock, base.http, base.data_dir, govern=govern, governance=governance)

    def effect(self) -> Any:
        return dict(self.settings)

    def forbid(self) -> None:
        self.forbidden = True


class CeilingRig(GovernanceRig):
    args: Mapping[str, Any] = {"change": "ceiling", "by": -1}
    expected = {"strictness": 0, "ceiling": "tier_1", "supervised": False}  # noqa: RUF012


class SupervisedRig(GovernanceRig):
    args: Mapping[str, Any] = {"change": "supervised", "to": 1}
    expected = {"strictness": 0, "ceiling": "tier_2", "supervised": True}  # noqa: RUF012


STORY = {
    "incident": {"id": "inc_1", "metric_id": "autonomy.rollback_rate", "resource": "grace", "opened_at": 1.0},
    "runs": [{"id": "run_0", "playbook_id": "shift-load", "steps": [{"index": 0, "verb": "shift"}]}],
    "audit": [{"seq": 7, "at": 2.0, "kind": "incident", "actor": "grace", "body": {"state": "open"}}],
    "snapshots": [{"at": 2.0, "moment": "before", "metric_id": "autonomy.rollback_rate", "count": 3, "max": 12.0}],
}


class PostmortemRig(Rig):
    kind = "postmortem"
    verb = Verb.REPORT
    expected = True

    def config(self) -> Mapping[str, Any]:
        return {}

    def start(self) -> None:
        (self.folder / "reports").mkdir()

    def world(self) -> World:
        async def story(incident_id: str) -> Mapping[str, Any]:
            return STORY

        base = super().world()
        return World(base.clock, base.http, base.data_dir, story=story)

    def effect(self) -> Any:
        file = self.folder / "reports" / "postmortem-inc_1-run_1.md"
        return file.exists() and "# Postmortem of inc\\_1" in file.read_text()


class NotifyRig(Rig):
    kind = "notify"
    verb = Verb.NOTIFY
    expected = ["run_1:0"]  # noqa: RUF012

    def config(self) -> Mapping[str, Any]:
        return {}

    def effect(self) -> Any:
        return [json.loads(line)["key"] for line in (_text(self.folder / "notifications.log") or "").splitlines()]


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None
