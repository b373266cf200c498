"""Whatever a stranger writes into labels: no argument list, path, statement, URL or template changes its shape.

Each set of labels goes the whole way: a payload's bytes, parsed; a playbook rendered for the incident; every step done.
What would have left this process is compared with what leaves it for a harmless resource: it must be the same.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import promql_parser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.inventory import Inventory, Target
from catalog.load import load_catalog
from remediator.clock import SystemClock
from remediator.drivers import DRIVERS, open_driver
from remediator.drivers.base import StepContext, World
from remediator.errors import GraceError
from remediator.pipeline.notice import target_of
from remediator.pipeline.plan import Unplannable, render
from remediator.promql import selector
from remediator.webhook.payload import parse
from tests.unit.drivers.exits import Exits

CATALOG = load_catalog()
HARMLESS = "somewhere"
PLANNED = 2e9
"""When the run was planned: after everything that runs began."""
STATEMENT = {"read": "SELECT v FROM t WHERE n = 'x'", "write": "UPDATE t SET v = :value WHERE n = 'x'"}
HTTP = {
    "url": "http://127.0.0.1:1/control",
    "scale": {"read": {"path": "/s", "pointer": "/workers"}, "write": {"path": "/p", "body": {"n": "{value}"}}},
    "throttle": {"read": {"path": "/s", "pointer": "/rate"}, "write": {"path": "/rate/{value}?x={value}"}},
    "pause": {"read": {"path": "/s", "pointer": "/paused"}, "pause": {"path": "/on"}, "resume": {"path": "/off"}},
    "restart": {"read": {"path": "/s", "pointer": "/born"}, "write": {"method": "POST", "path": "/restart"}},
    "run": {"write": {"method": "POST", "path": "/job"}},
}
RATE = {"read": "SELECT rate FROM t", "write": "UPDATE t SET rate = :value"}
PLAY = {"read": "read.yml", "apply": "apply.yml"}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "process": {"endpoint": "tcp://127.0.0.1:1", "watcher": "w"},
    "gunicorn": {"members": [{"name": "a", "pidfile": "/nowhere/a"}]},
    "sql": {"url": "sqlite://", "settings": {"throttle": {**RATE, "min": 1}, "pause": STATEMENT}},
    "http": HTTP,
    "systemd": {"unit": "worker@.service", "cpu_quota": {}},
    "docker": {"label": "web"},
    "compose": {"project": "shop", "files": ["/srv/compose.yml"], "service": "web"},
    "command": {"argv": ["/usr/bin/true", "{report}", "--fixed"]},
    "celery": {
        "broker": "redis://127.0.0.1:1/0",
        "nodes": ["w1@tasks"],
        "throttle": {"tasks": ["app.learn"]},
        "pause": {"queues": ["ingestion"]},
    },
    "kubernetes": {"kubeconfig": "/nowhere/kubeconfig", "name": "api"},
    "ansible": {
        "folder": "/nowhere/plays",
        "hosts": "/nowhere/hosts",
        "scale": PLAY,
        "throttle": PLAY,
        "pause": PLAY,
        "restart": PLAY,
        "run": {"apply": "job.yml", "variables": {"depth": 3}},
    },
    "haproxy": {"socket": "/nowhere/h", "backend": "api", "servers": {"api-1": "api-1", "api-2": "api-2"}},
}
HOSTILE = (
    "--help", "-rf", "../../etc/passwd", "/etc/shadow", "..\\..\\", "{{ x }}", "{value}", "{report}", "${HOME}",
    "$(id)", "`id`", "; rm -rf /", "| nc h 1", "&& id", "' OR 1=1 --", "'; DROP TABLE t; --", ":value", "%s", "%n",
    "%2e%2e%2f", "http://evil/?", "@evil/", "#", "?a=b&c=d", "\r\nHost: evil", "\n", "\x00", "\x1b[2J", '"', "\\",
    '"} or vector(1)',
    "{__name__=~\".+\"}", "api;set weight api/api-1 0", "*", "worker@1.service", "grace-1", "<script>", "[x](y)", "# x",
    "| a | b |", "\u202e", "\ud800", "é", "𝔘", "", " ", "governance", "api-3", "None", "true", "1e999", "a" * 300,
)  # fmt: skip
PIECE = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12))
VALUE = st.lists(PIECE, min_size=1, max_size=3).map("".join)
NAMES = st.sampled_from(
    [
        "resource",
        "metric_id",
        "severity",
        "alertname",
        "category",
        "target",
        "playbook",
        "command",
        "url",
        "path",
        "argv",
    ]
)


@dataclass(frozen=True)
class Case:
    """A playbook on targets run by one kind of driver."""

    playbook: str
    kind: str
    parts: Any


def inventory(kind: str, folder: Path) -> Inventory:
    files = Target(name="files", driver="files", config={"folders": [{"path": str(folder), "older_than": "1s"}]})
    other = kind if kind in ("command", "http", "ansible") else "command"
    made = {
        "main": Target(
            name="main", driver=kind, limits={"min": 1, "max": 9}, step_timeout=5, config=CONFIGS[kind],
            edge="edge", standby="main", nodes="main", reclaim="files", analysis="analysis",
        ),
        "edge": Target(name="edge", driver="haproxy", config=CONFIGS["haproxy"]),
        "analysis": Target(name="analysis", driver=other, config=CONFIGS[other]),
        "files": files,
    }  # fmt: skip
    return Inventory(targets=made)


class Way:
    """The way from labels to what leaves this process."""

    def __init__(self, exits: Exits, folder: Path) -> None:
        self.exits = exits
        self.loop = asyncio.new_event_loop()
        old = folder / "expired"
        old.mkdir()
        (old / "a.tmp").write_text("x")
        os.utime(old / "a.tmp", (1, 1))
        world = World(
            SystemClock(),
            exits,
            folder,
            govern=exits.govern,
            governance=exits.governance,
            story=exits.told,  # type: ignore[arg-type]
        )
        self.drivers = {name: open_driver(name, world) for name in DRIVERS}
        self.reports = folder / "reports"
        self.cases = [
            Case(playbook, kind, self._parts(inventory(kind, old)))
            for playbook in CATALOG.playbooks
            for kind in CONFIGS
        ]
        self.known = {(case.playbook, case.kind): self.go(case, self._labels()) for case in self.cases}
        self.cases = list({key: case for case in self.cases if (key := self._key(case))}.values())

    def close(self) -> None:
        for driver in self.drivers.values():
            self.loop.run_until_complete(driver.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def _key(self, case: Case) -> tuple[str, ...] | None:
        """The playbook and the drivers that do it; None where these targets cannot."""
        taken = self.known[case.playbook, case.kind]
        return None if taken is None else (case.playbook, *(step[2] for step in taken[-1]))

    def _parts(self, inventory: Inventory) -> Any:
        def target(name: str | None) -> Target | None:
            return inventory.targets.get(name or "")

        return SimpleNamespace(
            catalog=CATALOG, inventory=inventory, drivers=self.drivers, target=target, reports=self.reports,
            prometheus=self.exits, clock=SystemClock(),
        )  # fmt: skip

    @staticmethod
    def _labels() -> dict[str, str]:
        return {"resource": HARMLESS, "severity": "critical", "metric_id": "api.error_rate", "alertname": "X"}

    def go(self, case: Case, labels: Mapping[str, str]) -> list[Any] | None:
        """What leaves this process; None where these targets cannot do what the playbook asks."""
        alert = {
            "status": "firing", "labels": labels, "annotations": labels, "startsAt": "2026-01-01T00:00:00Z",
            "generatorURL": labels.get("url", ""),
        }  # fmt: skip
        body = {"version": "4", "status": "firing", "receiver": "grace", "groupKey": "g", "alerts": [alert]}
        (parsed,) = parse(json.dumps(body).encode()).alerts
        metric = CATALOG.metrics.get(parsed.labels.get("metric_id", ""))
        if metric is not None:
            meant = target_of(CATALOG, case.parts.inventory, metric, parsed.labels.get("resource", ""))
            assert meant is None or meant == "governance" or meant in case.parts.inventory.targets
        self.exits.story = story(parsed.labels)
        return self.loop.run_until_complete(self._act(case, parsed.labels.get("resource", "")))

    async def _act(self, case: Case, resource: str) -> list[Any] | None:
        self.exits.taken()
        for ending in (".json", ".md"):
            (self.reports / f"run_1-0{ending}").unlink(missing_ok=True)
        playbook = CATALOG.playbooks[case.playbook]
        given: dict[str, Any] = {"run_id": "run_1", "created_at": PLANNED, "incident_id": "inc_1"}
        plan = await render(case.parts, playbook, target_name="main", resource=resource, **given)
        if isinstance(plan, Unplannable):
            return None if plan.reason == "missing_capability" else [*self.exits.taken(), plan]
        steps = [(step.verb, step.target, step.driver, step.desired) for step in plan.steps]
        for index, step in enumerate(plan.steps):
            context = StepContext(
                run_id="run_1", step=index, key=f"run_1:{index}", started_at=PLANNED, resource=resource,
                reports=self.reports, incident_id="inc_1", playbook_id=playbook.id,
            )  # fmt: skip
            target = case.parts.target(step.target) or Target(name="governance", driver=step.driver)
            try:
                await self.drivers[step.driver].do(target, step.verb, dict(step.desired), context)
            except GraceError as error:
                self.exits.log.append(str(error))
        return [*self.exits.taken(), steps]


def story(labels: Mapping[str, str]) -> dict[str, Any]:
    """An incident full of a stranger's words."""
    word = labels.get("resource") or "x"
    run = {"id": "run_0", "playbook_id": word, "target": word, "steps": [{"index": 0, "verb": word, "error": word}]}
    return {
        "incident": {"id": "inc_1", "metric_id": word, "resource": word, "opened_at": 1.0, "reason": word},
        "runs": [run],
        "audit": [{"seq": 1, "at": 1.0, "kind": word, "actor": word, "body": dict.fromkeys(["a"], word)}],
        "snapshots": [],
    }


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    with pytest.MonkeyPatch.context() as patch:
        made = Way(Exits(patch), tmp_path_factory.mktemp("way"))
        yield made
        made.close()


def test_every_driver_takes_part(way: Way) -> None:
    taken = [way.known[case.playbook, case.kind] or [] for case in way.cases]
    seen = {step[2] for each in taken for step in each[-1]}
    # A playbook tells nobody by itself yet; the driver is looked at alone, below.
    assert seen | {"notify"} >= set(DRIVERS)
    assert {case.playbook for case in way.cases} == set(CATALOG.playbooks)


def check(way: Way, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(way.cases))
    labels = {**Way._labels(), **data.draw(st.dictionaries(NAMES, VALUE, max_size=5))}
    labels["resource"] = data.draw(VALUE)
    if labels["resource"] in ("api-1", "api-2"):
        return  # a name of the inventory means what it says
    assert way.go(case, labels) == way.known[case.playbook, case.kind]
    query = promql_parser.parse(selector("up", resource=labels["resource"]))
    assert isinstance(query, promql_parser.VectorSelector)
    assert [matcher.name for matcher in query.matchers.matchers] == ["resource"]


SETTINGS = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=2000, **SETTINGS)
@given(data=st.data())
def test_no_label_changes_the_shape_of_anything(way: Way, data: st.DataObject) -> None:
    check(way, data)


@pytest.mark.prove
@pytest.mark.timeout(3600)
@settings(max_examples=50_000, **SETTINGS)
@given(data=st.data())
def test_no_label_changes_the_shape_of_anything_at_length(way: Way, data: st.DataObject) -> None:
    check(way, data)


@pytest.mark.parametrize("word", HOSTILE)
def test_what_people_are_told_stays_one_line(way: Way, word: str) -> None:
    """`append` itself looks: printable, the same fields, the same file."""
    driver, target = way.drivers["notify"], Target(name="governance", driver="notify")
    given: dict[str, Any] = {"run_id": "run_1", "step": 0, "key": "run_1:0", "started_at": 1.0, "playbook_id": "p"}
    context = StepContext(**given, resource=word, message=f"{word} is slow")
    way.exits.taken()
    desired = driver.desire(target, next(iter(driver.verbs)), {}, {}, context)
    way.loop.run_until_complete(driver.do(target, next(iter(driver.verbs)), desired, context))
    ((kind, path, key, fields),) = way.exits.taken()
    assert (kind, Path(path).name, key) == ("append", "notifications.log", "run_1:0")
    assert fields == ["incident_id", "message", "playbook_id", "resource", "run_id", "time"]
