"""An inventory's faults are found when it is loaded, all of them, each with its place."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from catalog.inventory import Inventory, Limits, Target
from catalog.load import load_catalog
from catalog.model import Catalog, PlaybookDefinition, PlaybookStep, Relation, Verb
from remediator.drivers import builtin_driver, capability_gaps, check, check_inventory
from remediator.drivers.table import EXTRAS, Extra

HAPROXY = {"socket": "/run/h.sock", "backend": "api", "servers": {"api-1": "api-1"}}
PROCESS = {"endpoint": "ipc:///run/c.sock", "watcher": "workers"}


def playbook(verb: Verb, on: Relation, **args: float) -> PlaybookDefinition:
    return PlaybookDefinition(
        id=f"{verb}-{on}",
        title="x",
        tier="tier_2",
        risk="low",
        steps=(PlaybookStep(verb=verb, on=on, args=args),),
        verified_by="metric",
        if_ineffective="keep",
    )


CATALOG = Catalog(
    metrics={},
    playbooks={
        each.id: each
        for each in (
            playbook(Verb.SHIFT, Relation.EDGE, factor=0.2),
            playbook(Verb.START, Relation.STANDBY),
            playbook(Verb.REPORT, Relation.GOVERNANCE),
        )
    },
)


def faults(**targets: dict[str, Any]) -> list[str]:
    made = {name.replace("_", "-"): Target(name=name.replace("_", "-"), **body) for name, body in targets.items()}
    return check_inventory(Inventory(targets=made), CATALOG)


def test_a_good_inventory_has_none() -> None:
    assert (
        faults(
            api={"driver": "process", "config": PROCESS, "edge": "lb", "standby": "spare"},
            lb={"driver": "haproxy", "config": HAPROXY},
            spare={"driver": "process", "config": PROCESS},
        )
        == []
    )


def test_an_unknown_driver_is_named_with_the_nearest_one() -> None:
    assert faults(api={"driver": "haprxy"}) == ["targets.api.driver: unknown 'haprxy' (did you mean 'haproxy'?)"]


def test_every_fault_of_a_configuration_is_listed_with_its_path() -> None:
    found = faults(lb={"driver": "haproxy", "config": {"socket": "/s", "backend": "a b", "sevrers": {}}})
    assert [fault.split(":")[0] for fault in found] == [
        "targets.lb.config.backend",
        "targets.lb.config.servers",
        "targets.lb.config.sevrers",
    ]


def test_a_fault_never_repeats_what_was_configured() -> None:
    secret = "postgresql://u:hunter2@h:not-a-port/x"
    found = faults(db={"driver": "sql", "config": {"url": secret, "settings": {}, "password": "hunter2"}})
    assert found
    assert "hunter2" not in " ".join(found)


def test_a_package_that_is_missing_is_a_fault_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "EXTRAS", {"haproxy": Extra("no_such_module", ("no-such>=1",))})
    assert faults(lb={"driver": "haproxy", "config": HAPROXY}) == [
        "targets.lb.driver: haproxy needs a Python package that is not installed; "
        f"get it with {sys.executable} -m pip install 'no-such>=1'"
    ]


def test_the_extras_are_those_that_the_project_declares() -> None:
    declared = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    extras = declared["optional-dependencies"]
    for kind, extra in EXTRAS.items():
        assert list(extra.requirements) == extras[kind]
        # So that the tests run.
        assert any(kind in re.findall(r"[a-z]+", each) for each in extras["dev"] if each.startswith("grace["))


def test_the_table_loads_without_any_extra() -> None:
    """Whoever uses none of these drivers need not have their packages."""
    absent = sorted({extra.module for extra in EXTRAS.values()})
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); from remediator.drivers import DRIVERS; DRIVERS"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_a_relation_to_nothing() -> None:
    found = faults(
        api={"driver": "process", "config": PROCESS, "edge": "lbb"}, lb={"driver": "haproxy", "config": HAPROXY}
    )
    assert found == ["targets.api.edge: unknown target 'lbb' (did you mean 'lb'?)"]


def test_a_relation_to_a_target_that_cannot_do_what_playbooks_ask() -> None:
    found = faults(api={"driver": "process", "config": PROCESS, "edge": "api"})
    assert found == ["targets.api.edge: api is run by process, which cannot shift, and playbooks ask for that"]


def test_limits_the_wrong_way_round() -> None:
    found = faults(api={"driver": "process", "config": PROCESS, "limits": Limits(min=5, max=2)})
    assert found == ["targets.api.limits: min 5 is above max 2"]


def test_nobody_else_is_called_governance() -> None:
    assert faults(governance={"driver": "process", "config": PROCESS})


def test_grace_itself_is_served_by_its_own_drivers() -> None:
    assert {verb: builtin_driver(verb) for verb in Verb if builtin_driver(verb)} == {
        Verb.GOVERN: "governance",
        Verb.REPORT: "postmortem",
        Verb.NOTIFY: "notify",
    }


def test_what_playbooks_would_do_and_a_driver_cannot_is_told() -> None:
    shipped = load_catalog(())
    made = {
        "api": Target(name="api", driver="process", config=PROCESS),
        "ingestion": Target(name="ingestion", driver="process", config=PROCESS),
        "host": Target(name="host", driver="haproxy", config=HAPROXY, resources=("host-1",)),
        "lb": Target(name="lb", driver="haproxy", config=HAPROXY),
        "disk": Target(name="disk", driver="files", resources=("disk",), reclaim="disk"),
    }
    assert capability_gaps(Inventory(targets=made), shipped) == [
        "targets.ingestion: process cannot throttle, so throttle-learning will be denied",
        "targets.ingestion: process cannot pause, so stop-ingestion-cycle will be denied",
        "targets.host: haproxy cannot restart, so restart-workers will be denied",
    ]


@pytest.mark.parametrize(
    ("driver", "config"),
    [
        ("sql", {"url": "postgresql://user:p@hunter2:x@host/name", "settings": {}}),
        ("sql", {"url": "postgresql://user:p@hunter2@host/name", "settings": {}}),
        ("celery", {"broker": "redis://user:hunter2/x@host/0", "nodes": ["w1@tasks"]}),
        ("celery", {"broker": "redis://user:1/hunter2@host/0", "nodes": ["w1@tasks"]}),
        ("celery", {"broker": "amqp://host;amqp://user:[hunter2@host/", "nodes": ["w1@tasks"]}),
        ("celery", {"broker": "amqp://user:hunter2\u2100@host/", "nodes": ["w1@tasks"]}),
    ],
)
def test_a_password_that_is_read_otherwise_is_a_fault_that_does_not_tell_it(
    driver: str, config: dict[str, Any]
) -> None:
    found = faults(api={"driver": driver, "config": config})
    assert any("password_file" in each and "URL" in each for each in found)
    assert "hunter2" not in "\n".join(found)


@pytest.mark.parametrize(
    "broker",
    [
        "redis://user:p@ss:word@host/0",
        "redis://:p%2Fss@host:6379/0",
        "redis+socket:///run/team@home/redis.sock",
        "sentinel://one:26379;sentinel://two:26379",
        "amqp://user:pass@host//",
    ],
)
def test_a_broker_that_is_read_as_it_is_meant_is_right(broker: str) -> None:
    assert faults(api={"driver": "celery", "config": {"broker": broker, "nodes": ["w1@tasks"]}}) == []
