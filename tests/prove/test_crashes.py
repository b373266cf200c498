"""SIGKILL at every journal point, on both engines, while each driver acts on the real thing: then an ordinary start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from catalog.model import Verb
from remediator import crash
from tests.contract.drivers.conftest import RIGS
from tests.contract.drivers.rigs.base import Rig, short_folder, until
from tests.contract.ledger.cluster import Cluster, cluster
from tests.integration.remediator.conftest import payload
from tests.prove.world import METRIC, Replica, Rows, overlay, replicas, whole

POINTS = [point for point in crash.POINTS if point != "after_verify"]
"""What a step passes; `after_verify` needs measurements, and has no driver in it."""
AROUND_THE_EFFECT = ("after_intent", "after_effect")
OUTSIDE = {
    name: rig for name, rig in RIGS.items() if rig.kind != "governance" and rig.verb not in (Verb.NOTIFY, Verb.REPORT)
}
"""Rigs whose effect is a thing beside Grace."""
FIRST = list({rig.kind: name for name, rig in reversed(OUTSIDE.items())}.values())
"""One rig of every driver, which meets every point on both engines; the others meet the effect."""


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@contextmanager
def acting_on(
    name: str, ledger: str | None, free_port: Callable[[], int], haproxy: Path
) -> Iterator[tuple[Replica, Rig, str]]:
    """A remediator whose one target is the rig's, and the resource whose alert makes it act."""
    kind = OUTSIDE[name]
    with short_folder() as folder:
        for part in ("rig", "service"):
            (folder / part).mkdir(mode=0o755)
        rig = kind(folder / "rig", None, {"haproxy": haproxy})  # type: ignore[arg-type]
        try:
            rig.start()
            resource = rig.resource or "thing"
            target = rig.target().model_dump(mode="json", exclude={"name"}) | {"resources": [resource]}
            # A playbook's `on: target` is the thing itself, also for verbs that the shipped ones do next door.
            service = Replica(
                folder / "service",
                free_port(),
                {"thing": target},
                ledger=ledger,
                catalog=overlay(rig.verb.value, rig.args),
            )
            try:
                yield service, rig, resource
            finally:
                service.kill()
        finally:
            rig.close()


def effect_of(rig: Rig) -> Any:
    found = rig.effect()
    # A report bears the run's name, which a rig cannot know.
    return found["ran"] if isinstance(found, dict) and "ran" in found else found


def expected_of(rig: Rig, before: Any) -> Any:
    wanted = rig.expected(rig.effect() if before is None else before) if callable(rig.expected) else rig.expected
    return wanted["ran"] if isinstance(wanted, dict) and "ran" in wanted else wanted


def crashed_and_healed(service: Replica, rig: Rig, resource: str, point: str) -> None:
    before = rig.effect()
    wanted = expected_of(rig, before)

    def post() -> int:
        try:
            return service.call("POST", "/api/v1/alerts", payload(METRIC, resource), token="alertmanager")[0]
        except OSError:
            return 0  # it died before it could answer

    service.start(GRACE_CRASH_AT=point)
    post()
    assert service.died(20 + rig.step_timeout) == -9
    service.start()
    assert post() == 202, "Alertmanager sends again what was not answered"
    # On PostgreSQL whoever takes over waits until the dead one's step must have ended.
    patience = 60 + rig.step_timeout
    service.until(lambda: [each["state"] for each in service.items("/api/v1/incidents")] == ["contained"], patience)
    until(lambda: effect_of(rig) == wanted, 15)
    (run,) = service.items("/api/v1/runs?all=true")
    assert run["state"] == "contained"
    assert [step["state"] for step in run["steps"]] == ["done"]
    assert whole(service) == ""
    service.stop()
    assert effect_of(rig) == wanted, "and nothing was done again"


@pytest.mark.prove
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("name", FIRST)
def test_the_matrix(
    name: str, point: str, engine: str, free_port: Callable[[], int], haproxy_binary: Path, server: Cluster
) -> None:
    ledger = server.database() if engine == "postgres" else None
    with acting_on(name, ledger, free_port, haproxy_binary) as (service, rig, resource):
        crashed_and_healed(service, rig, resource, point)


@pytest.mark.prove
@pytest.mark.parametrize("point", AROUND_THE_EFFECT)
@pytest.mark.parametrize("name", [name for name in OUTSIDE if name not in FIRST])
def test_every_other_verb_around_its_effect(
    name: str, point: str, free_port: Callable[[], int], haproxy_binary: Path
) -> None:
    with acting_on(name, None, free_port, haproxy_binary) as (service, rig, resource):
        crashed_and_healed(service, rig, resource, point)


@pytest.mark.parametrize("point", ["after_accept", "after_notice", "after_step"])
def test_killed_on_postgres_the_run_happens_once(point: str, free_port: Callable[[], int]) -> None:
    """The points that the tests of replicas leave out."""
    with replicas("postgres", 1, 1, free_port) as ((service,), rows):
        service.start(GRACE_CRASH_AT=point)
        service.post("t-0")
        assert service.died() == -9
        service.start()
        assert service.post("t-0") == 202
        service.until(lambda: [each["state"] for each in service.items("/api/v1/incidents")] == ["contained"], 20)
        assert rows.changes()["t-0"] == [(Rows.START, Rows.START // 2)]
        assert len(service.items("/api/v1/runs?all=true")) == 1
        assert whole(service) == ""
        service.stop()
