"""The compose file, run: everything healthy and hardened, a drill heals, and what is killed loses nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.console import shell_lines
from tests.prove.compose.lab import ROOT, Engine, Stack

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1800)]
DATA = ("--data", "/var/lib/grace")
PAGE = ROOT / "docs" / "how-to" / "run-with-compose.md"
ONE_SHOTS = {"setup", "enroll"}
ALERT = """
import datetime, json, urllib.request
labels = dict(alertname="InfraMemoryUtilization", metric_id="infra.memory_utilization", category="infra",
              resource="{resource}", severity="critical", grace="true")
now = datetime.datetime.now(datetime.timezone.utc)
alert = dict(labels=labels, startsAt=now.isoformat(), endsAt=(now + datetime.timedelta(minutes=10)).isoformat())
request = urllib.request.Request("http://{alertmanager}:9093/api/v2/alerts", data=json.dumps([alert]).encode(),
                                 headers={{"Content-Type": "application/json"}})
urllib.request.urlopen(request, timeout=10)
"""


@pytest.fixture(scope="class")
def demo(engine: Engine, checkout: Path) -> Iterator[Stack]:
    stack = Stack(engine, checkout, "--env-file", "deploy/demo.env")
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="class")
def pair(engine: Engine, checkout: Path) -> Iterator[Stack]:
    options = ("--env-file", "deploy/demo.env", "--env-file", "deploy/ha.env", "--profile", "demo", "--profile", "ha")
    stack = Stack(engine, checkout, *options)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


def eventually(holds: Callable[[], Any], within: float = 60) -> Any:
    deadline = time.monotonic() + within
    while not (found := holds()):
        assert time.monotonic() < deadline, f"it did not come to hold within {within:g} s"
        time.sleep(1)
    return found


def incidents(stack: Stack, service: str = "remediator") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(stack.grace(service, "incidents", "list", "--json"))["items"]
    return found


def heals(stack: Stack, service: str = "remediator") -> None:
    """A drill of a real fault; a second try, for a busy machine can make another story of the first."""
    try:
        stack.grace(service, "drill", "cpu", *DATA)
    except AssertionError:
        stack.grace(service, "drill", "cpu", *DATA)


class TestOneRemediator:
    """The demo profile."""

    def test_everything_is_healthy_and_hardened(self, demo: Stack) -> None:
        found = demo.containers()
        assert set(found) == {"setup", "enroll", "remediator", "exporter", "prometheus", "alertmanager", "demo"}
        for name, container in found.items():
            state, host = container["State"], container["HostConfig"]
            if name in ONE_SHOTS:
                assert (state["Status"], state["ExitCode"]) == ("exited", 0), name
            else:
                assert state["Health"]["Status"] == "healthy", name
            assert host["ReadonlyRootfs"], name
            assert host["CapDrop"] == ["ALL"], name
            assert host["SecurityOpt"] == ["no-new-privileges:true"], name
            assert host["Memory"] > 0, name
            assert host["PidsLimit"] > 0, name
            assert not container["Config"]["User"].startswith(("0", "root")), name
            assert container["Config"]["User"], name
            secrets = [line for line in container["Config"]["Env"] if "PASSWORD=" in line or "TOKEN=" in line]
            assert secrets == [], name

    def test_the_doctor_finds_nothing(self, demo: Stack) -> None:
        eventually(
            lambda: (
                '"findings": []' in demo.compose("exec", "-T", "remediator", "sh", "-c", "grace doctor --json; true")
            )
        )

    def test_a_fault_heals_as_the_page_says(self, demo: Stack) -> None:
        """What `docs/how-to/run-with-compose.md` types in the remediator's container."""
        prefix = "docker compose exec remediator grace "
        drill, listing = [line.removeprefix(prefix) for line in shell_lines(PAGE) if line.startswith(prefix)]
        assert drill.split() == ["drill", "cpu", *DATA]
        heals(demo)
        assert "healed" in demo.grace("remediator", *listing.split())
        assert "the log is whole" in demo.grace("remediator", "audit", "verify")

    def test_a_change_of_the_configuration_is_taken_over_as_the_page_says(self, demo: Stack) -> None:
        """Compiled anew and read again, with nothing restarted."""
        compiled, reread = [
            line.removeprefix("docker compose ").split()
            for line in shell_lines(PAGE)
            if line.startswith(("docker compose up -d setup", "docker compose kill"))
        ]
        before = {name: each["State"]["StartedAt"] for name, each in demo.containers().items()}
        demo.compose(*compiled)
        demo.compose(*reread)
        eventually(lambda: demo.containers()["setup"]["State"]["StartedAt"] != before["setup"])
        found = demo.containers()
        for name in reread[3:]:
            assert (found[name]["State"]["StartedAt"], found[name]["RestartCount"]) == (before[name], 0), name
        assert json.loads(demo.grace("remediator", "status", "--json"))["problems"] == []

    def test_a_killed_remediator_loses_nothing(self, demo: Stack) -> None:
        """One alert was accepted just before it was killed, one fires while it is away."""
        demo.grace("remediator", "fire", "infra.memory_utilization", "--severity", "critical", "--resource", "api-1")
        demo.kill("remediator")
        demo.python("exporter", ALERT.format(resource="api-2", alertmanager="alertmanager"))
        demo.start("remediator")
        wanted = {"api-1", "api-2"}

        def both() -> bool:
            try:
                known = incidents(demo)
            except AssertionError:
                return False  # it is just starting
            return wanted <= {each["resource"] for each in known if each["metric_id"] == "infra.memory_utilization"}

        eventually(both, 90)
        assert "the log is whole" in demo.grace("remediator", "audit", "verify")


class TestTwoOfEverything:
    """The demo on the ha profile: either of each may die."""

    def test_either_remediator_may_be_killed(self, pair: Stack) -> None:
        for victim, other in (("remediator", "remediator-2"), ("remediator-2", "remediator")):
            pair.kill(victim)
            resource = f"without-{victim}"
            pair.python("exporter", ALERT.format(resource=resource, alertmanager="alertmanager"))
            eventually(
                lambda other=other, resource=resource: resource in {i["resource"] for i in incidents(pair, other)}, 90
            )
            pair.start(victim)
            eventually(lambda victim=victim: pair.containers()[victim]["State"]["Health"]["Status"] == "healthy", 90)

    def test_either_alertmanager_may_be_killed(self, pair: Stack) -> None:
        for victim, other in (("alertmanager", "alertmanager-2"), ("alertmanager-2", "alertmanager-1")):
            pair.kill(victim)
            resource = f"without-{victim}"
            pair.python("exporter", ALERT.format(resource=resource, alertmanager=other))
            eventually(lambda resource=resource: resource in {each["resource"] for each in incidents(pair)}, 90)
            pair.start(victim)
            eventually(lambda victim=victim: pair.containers()[victim]["State"]["Health"]["Status"] == "healthy", 90)
        heals(pair)


def test_the_proxy_lets_through_what_the_driver_needs(engine: Engine, checkout: Path) -> None:
    socket = f"{engine.folder}/docker.sock"
    environment = {**engine.environment, "DOCKER_SOCKET": socket, "DOCKER_GROUP": str(Path(socket).stat().st_gid)}
    stack = Stack(Engine(engine.folder, environment), checkout, "--profile", "docker-driver")
    try:
        stack.up()
        script = """
import json, urllib.error, urllib.request
def ask(method, path):
    data = b"" if method == "POST" else None
    request = urllib.request.Request("http://docker-proxy:2375" + path, method=method, data=data)
    try:
        return urllib.request.urlopen(request, timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code
one = json.load(urllib.request.urlopen("http://docker-proxy:2375/containers/json"))[0]["Id"]
print(json.dumps([ask(*each) for each in (
    ("GET", "/_ping"), ("GET", f"/containers/{one}/json"), ("POST", f"/v1.41/containers/nobody/restart"),
    ("POST", f"/containers/{one}/exec"), ("POST", "/containers/create"), ("DELETE", "/containers/nobody"),
    ("GET", "/images/json"), ("POST", "/build"), ("GET", f"/containers/{one}/archive?path=/"),
    ("GET", f"/containers/{one}/json/../export"), ("POST", "/volumes/create"))]))
"""
        answers = json.loads(stack.python("remediator", script))
        assert answers == [200, 200, 404, *[403] * 8]
    finally:
        stack.down()
