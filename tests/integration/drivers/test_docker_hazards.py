"""Where the drivers of a Docker engine could do harm, tried on a real one."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from catalog.model import Verb
from remediator import drivers
from remediator.drivers.compose import ComposeConfig
from remediator.drivers.docker import DockerConfig
from remediator.errors import Permanent, Refused, Transient
from tests.contract.drivers.conftest import RIGS
from tests.contract.drivers.rigs.base import Rig, until
from tests.contract.drivers.rigs.compose import ComposeRig
from tests.contract.drivers.rigs.docker import DockerRestartRig, DockerRig, DockerThrottleRig

README = (Path(drivers.__file__).parent / "docker" / "README.md").read_text()


async def plan(rig: Any, verb: Verb | None = None, args: Any = None) -> Any:
    driver = rig.driver()
    before = await driver.observe(rig.target(), verb or rig.verb, rig.context())
    return before, driver.desire(
        rig.target(), verb or rig.verb, rig.args if args is None else args, before, rig.context()
    )


def states(rig: Any) -> dict[str, str]:
    return {one["Name"].removeprefix("/"): one["State"]["Status"] for one in rig.inspected()}


class TestClones:
    async def test_a_clone_is_like_its_seed(self, begin: Any) -> None:
        class Special(DockerRig):
            options = ("--env", "MODE=fast", "--cpus", "0.5", "--memory", "64m", "--workdir", "/tmp", "--label", "a=b")

        rig = begin(Special)
        _, desired = await plan(rig)
        await rig.driver().do(rig.target(), rig.verb, desired, rig.context())
        seed, clone = sorted(rig.inspected(), key=lambda one: len(one["Name"]))
        assert clone["Image"] == seed["Image"]
        for key in ("Env", "Cmd", "WorkingDir", "Entrypoint"):
            assert clone["Config"][key] == seed["Config"][key]
        for key in ("NanoCpus", "Memory", "Binds", "NetworkMode", "RestartPolicy"):
            assert clone["HostConfig"][key] == seed["HostConfig"][key]
        assert clone["Config"]["Labels"] == {**seed["Config"]["Labels"], "grace.clone-of": seed["Name"][1:]}

    async def test_a_clone_is_found_where_its_seed_is(self, begin: Any) -> None:
        rig = begin(Networked)
        _, desired = await plan(rig)
        await rig.driver().do(rig.target(), rig.verb, desired, rig.context())
        seed, clone = sorted(rig.inspected(), key=lambda one: len(one["Name"]))
        networks = clone["NetworkSettings"]["Networks"]
        assert sorted(networks) == [f"{rig.label}-back", f"{rig.label}-front"]
        assert "web" in networks[f"{rig.label}-front"]["Aliases"]
        assert "backend" in networks[f"{rig.label}-back"]["Aliases"]
        assert not any(seed["Id"][:12] in (each["Aliases"] or ()) for each in networks.values())
        addresses = {each["IPAddress"] for one in (seed, clone) for each in one["NetworkSettings"]["Networks"].values()}
        assert len(addresses) == 4

    async def test_compose_does_not_take_a_clone_for_its_own(self, begin: Any) -> None:
        class OfCompose(DockerRig):
            options = ("--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=web")

        rig = begin(OfCompose)
        _, desired = await plan(rig)
        await rig.driver().do(rig.target(), rig.verb, desired, rig.context())
        clone = max(rig.inspected(), key=lambda one: len(one["Name"]))
        assert not [label for label in clone["Config"]["Labels"] if label.startswith("com.docker")]

    async def test_what_carries_no_label_of_ours_is_never_touched(self, begin: Any) -> None:
        rig = begin(DockerRig)
        name = f"{rig.label}-grace-1"
        stranger = rig.engine.run(name, "--label", "grace.target=another")
        rig.stack.callback(rig.engine.client, "rm", "--force", stranger)
        _, desired = await plan(rig)
        assert desired == {"members": {name: "running"}}
        for verb, state in ((Verb.SCALE, "running"), (Verb.STOP, "stopped"), (Verb.PAUSE, "paused")):
            with pytest.raises(Refused) as caught:
                await rig.driver().do(rig.target(), verb, {"members": {name: state}}, rig.context())
            assert caught.value.reason == "not_ours"
        with pytest.raises(Refused):
            await rig.driver().do(rig.target(), Verb.THROTTLE, {"limits": {name: 0.1}}, rig.context())
        await rig.driver().do(rig.target(), Verb.SCALE, {"members": {name: "absent"}}, rig.context())
        assert json.loads(rig.engine.client("inspect", stranger))[0]["State"]["Status"] == "running"
        assert rig.engine.quota(stranger) is None

    async def test_what_is_no_clone_is_never_removed(self, begin: Any) -> None:
        rig = begin(DockerRig)
        gone = {"members": {f"{rig.label}-1": "absent"}}
        with pytest.raises(Refused) as caught:
            await rig.driver().do(rig.target(), Verb.SCALE, gone, rig.context())
        assert caught.value.reason == "not_ours"
        assert states(rig) == {f"{rig.label}-1": "running"}

    async def test_one_that_was_made_and_never_started_is_made_again(self, begin: Any) -> None:
        rig = begin(DockerRig)
        _, desired = await plan(rig)
        (name,) = desired["members"]
        labels = ("--label", f"grace.target={rig.label}", "--label", f"grace.clone-of={rig.label}-1")
        rig.engine.client("create", "--name", name, *labels, "grace-rig:1", "/bin/false")
        await rig.driver().do(rig.target(), rig.verb, desired, rig.context())
        assert states(rig) == {f"{rig.label}-1": "running", name: "running"}
        clone = max(rig.inspected(), key=lambda one: len(one["Name"]))
        assert clone["Path"] == "/bin/sh"

    async def test_a_fixed_port_cannot_be_had_twice(self, begin: Any) -> None:
        class Published(DockerRig):
            def begin(self, name: str) -> str:
                network = f"{self.label}-front"
                self.engine.client("network", "create", network)
                self.stack.callback(self.engine.client, "network", "rm", network)
                self.stack.callback(self.engine.remove, f"grace.target={self.label}")
                labels = ("--label", f"grace.target={self.label}", "--network", network)
                return self.engine.run(name, *labels, "-p", "18080:8080")

        with pytest.raises(Refused, match="8080/tcp at a fixed port") as caught:
            await plan(begin(Published))
        assert caught.value.reason == "missing_capability"

    async def test_others_clones_stay_when_ours_are_given_back(self, begin: Any) -> None:
        rig = begin(DockerRig)
        before, desired = await plan(rig)
        driver = rig.driver()
        await driver.do(rig.target(), rig.verb, desired, rig.context())
        rig.begin(f"{rig.label}-by-hand")
        observed = await driver.observe(rig.target(), rig.verb, rig.context())
        verb, back = driver.give_back(rig.verb, before, desired, observed)
        await driver.do(rig.target(), verb, back, rig.context())
        assert states(rig) == {f"{rig.label}-1": "running", f"{rig.label}-by-hand": "running"}

    async def test_more_than_the_maximum_is_never_cut(self, begin: Any) -> None:
        rig = begin(DockerRig)
        for number in range(2, 6):
            rig.begin(f"{rig.label}-{number}")
        with pytest.raises(Refused) as caught:
            await plan(rig)
        assert caught.value.reason == "at_limit"


class Fragile(DockerRestartRig):
    """The first does not start a second time once it was told to fail."""

    options = ("-v", "/tmp:/outside")
    count = 2

    def begin(self, name: str) -> str:
        self.trap = Path("/tmp") / f"{self.folder.parent.name}-trap"
        self.stack.callback(self.trap.unlink, missing_ok=True)
        command = (
            f'test {name[-1]} = 1 && test -e /outside/{self.trap.name} && exit 3; trap "exit 0" TERM; sleep 3600 & wait'
        )
        labels = ("--label", f"grace.target={self.label}")
        return self.engine.run(name, *labels, *self.options, *self.health, command=command)

    health: tuple[str, ...] = ("--health-cmd", "test -e /usr", "--health-interval", "1s")


@pytest.mark.prove
class TestRestart:
    async def test_one_at_a_time_waiting_for_health(self, begin: Any) -> None:
        rig = begin(DockerRestartRig)
        _, desired = await plan(rig)
        seen: list[int] = []

        async def watch() -> None:
            while True:
                found = await asyncio.to_thread(rig.inspected)
                seen.append(sum(one["State"]["Running"] for one in found))

        watcher = asyncio.create_task(watch())
        await rig.driver().do(rig.target(), rig.verb, desired, rig.context())
        watcher.cancel()
        assert min(seen) >= 1
        assert rig.effect() == (True, True)
        assert [one["State"]["Health"]["Status"] for one in rig.inspected()] == ["healthy", "healthy"]

    async def test_one_that_does_not_come_back_ends_it(self, begin: Any) -> None:
        rig = begin(Fragile)
        _, desired = await plan(rig)
        rig.trap.touch()
        with pytest.raises(Permanent, match="others were left alone"):
            await rig.driver().do(rig.target(), rig.verb, desired, rig.context())
        assert rig.inspected()[1]["State"]["Pid"] in rig.before

    async def test_one_that_is_ill_after_it_ends_it(self, begin: Any) -> None:
        class Ill(DockerRestartRig):
            options = ("--health-cmd", "false", "--health-interval", "1s", "--health-retries", "1")

        rig = begin(Ill)
        _, desired = await plan(rig)
        with pytest.raises(Permanent, match="unhealthy after its restart"):
            await rig.driver().do(rig.target(), rig.verb, desired, rig.context())
        assert rig.effect() == (True, False)


@pytest.mark.prove
class TestThrottle:
    @pytest.mark.parametrize("cpus", ["0.5", None])
    async def test_both_measures_are_given_back(self, begin: Any, cpus: str | None) -> None:
        class Limited(DockerThrottleRig):
            options = ("--cpus", cpus) if cpus else ()

        rig = begin(Limited)
        driver, (before, desired) = rig.driver(), await plan(rig)
        await driver.do(rig.target(), rig.verb, desired, rig.context())
        assert rig.effect() == (0.25 if cpus else 0.5,)
        observed = await driver.observe(rig.target(), rig.verb, rig.context())
        verb, back = driver.give_back(rig.verb, before, desired, observed)
        await driver.do(rig.target(), verb, back, rig.context())
        assert rig.effect() == (float(cpus) if cpus else None,)

    async def test_never_below_the_least(self, begin: Any) -> None:
        class Low(DockerThrottleRig):
            options = ("--cpus", "0.1")

        with pytest.raises(Refused) as caught:
            await plan(begin(Low))
        assert caught.value.reason == "at_limit"


class Networked(DockerRig):
    """In two networks, under a name of its own in each."""

    def begin(self, name: str) -> str:
        for network in ("front", "back"):
            self.engine.client("network", "create", f"{self.label}-{network}")
            self.stack.callback(self.engine.client, "network", "rm", f"{self.label}-{network}")
        self.stack.callback(self.engine.remove, f"grace.target={self.label}")
        labels = ("--label", f"grace.target={self.label}", "--network", f"{self.label}-front")
        made = self.engine.run(name, *labels, "--network-alias", "web", "-p", "8000")
        self.engine.client("network", "connect", "--alias", "backend", f"{self.label}-back", name)
        return made


class Proxy:
    """Lets requests through to the engine, but those whose first line holds `word` get `reply` instead."""

    def __init__(self, rig: Rig, upstream: Path, word: bytes, reply: bytes) -> None:
        self.path = rig.folder / "proxy.sock"
        self._upstream, self._word, self._reply = upstream, word, reply
        self.asked: set[str] = set()
        """Method and path of every request, without the version and the query."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        rig.stack.callback(self._listener.close)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(str(self._upstream))
            while request := connection.recv(1 << 20):
                if asked := re.match(rb"([A-Z]+) (?:/v[0-9.]+)?(/[^? ]*)\S* HTTP/1", request):
                    self.asked.add(f"{asked[1].decode()} {asked[2].decode()}")
                if self._word in request.partition(b"\r\n")[0]:
                    connection.sendall(self._reply)
                    return
                engine.sendall(request)
                answer = engine.recv(1 << 20)
                while not _whole(answer) and (more := engine.recv(1 << 20)):
                    answer += more
                connection.sendall(answer)


def matches(asked: str, line: str) -> bool:
    """A star stands for one part of a path."""
    return re.fullmatch(re.escape(line).replace(r"\*", "[^/]+"), asked) is not None


def _whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    named = re.search(rb"(?i)^content-length: *([0-9]+)", head, re.MULTILINE)
    length = int(named[1]) if named else 0
    return len(body) >= length


@pytest.mark.prove
class TestEngine:
    def through(self, rig: Any, word: bytes, reply: bytes) -> Any:
        proxy = Proxy(rig, rig.engine.folder / "docker.sock", word, reply)
        return rig.target(url=f"unix://{proxy.path}")

    @pytest.mark.parametrize(
        ("status", "error"), [(403, Refused), (503, Transient), (500, Permanent), (404, Permanent), (418, Permanent)]
    )
    async def test_what_a_status_means(self, begin: Any, status: int, error: type[Exception]) -> None:
        rig = begin(DockerRig)
        body = json.dumps({"message": "no"}).encode()
        reply = b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
            status, len(body), body,
        )  # fmt: skip
        target = self.through(rig, b"POST ", reply)
        _, desired = await plan(rig)
        with pytest.raises(error):
            await rig.driver().do(target, rig.verb, desired, rig.context())
        assert states(rig) == {f"{rig.label}-1": "running"}

    async def test_it_dies_between_making_and_starting(self, begin: Any) -> None:
        """Half of it succeeded: the next attempt finishes it."""
        rig = begin(DockerRig)
        _, desired = await plan(rig)
        (name,) = desired["members"]

        target = self.through(rig, b"/start", b"")
        with pytest.raises(Transient, match="'start'"):
            await rig.driver().do(target, rig.verb, desired, rig.context())
        assert states(rig)[name] == "created"
        await rig.driver().do(rig.target(), rig.verb, desired, rig.context())
        assert states(rig)[name] == "running"
        assert len(states(rig)) == 2

    async def test_the_readme_lists_what_is_asked_and_nothing_else(self, begin: Any) -> None:
        """For a proxy before the socket: over every verb and its undo."""
        asked: set[str] = set()
        for kind in (Networked, *(rig for rig in RIGS.values() if rig.kind == "docker")):
            rig = begin(kind)
            proxy = Proxy(rig, rig.engine.folder / "docker.sock", b"\0", b"")
            target = rig.target(url=f"unix://{proxy.path}")
            driver = rig.driver()
            before = await driver.observe(target, rig.verb, rig.context())
            desired = driver.desire(target, rig.verb, rig.args, before, rig.context())
            await driver.do(target, rig.verb, desired, rig.context())
            back = driver.give_back(rig.verb, before, desired, await driver.observe(target, rig.verb, rig.context()))
            if back is not None:
                await driver.do(target, back[0], back[1], rig.context())
            asked |= proxy.asked
        listed = [line.partition("#")[0].strip() for line in README.split("```text\n")[1].split("```")[0].splitlines()]
        unlisted = {each for each in asked if not any(matches(each, line) for line in listed)}
        unused = [line for line in listed if not any(matches(each, line) for each in asked)]
        assert (unlisted, unused) == (set(), [])

    async def test_no_container_carries_the_label(self, begin: Any) -> None:
        rig = begin(DockerRig)
        with pytest.raises(Permanent, match="no container carries the label"):
            await rig.driver().observe(rig.target(label="nobody"), rig.verb, rig.context())

    async def test_an_engine_that_is_not_there(self, begin: Any) -> None:
        rig = begin(DockerRig)
        with pytest.raises(Transient, match="cannot be reached"):
            await rig.driver().observe(rig.target(url="unix:///nowhere/d.sock"), rig.verb, rig.context())


@pytest.mark.prove
class TestCompose:
    async def test_a_service_that_is_not_there(self, begin: Any) -> None:
        rig = begin(ComposeRig)
        with pytest.raises(Permanent, match="no service"):
            await rig.driver().observe(rig.target(service="wbe"), rig.verb, rig.context())

    async def test_a_program_that_is_not_there(self, begin: Any) -> None:
        rig = begin(ComposeRig)
        with pytest.raises(Permanent, match="no compose program at /nowhere/compose"):
            await rig.driver().observe(rig.target(binary="/nowhere/compose"), rig.verb, rig.context())

    async def test_a_file_that_is_broken(self, begin: Any) -> None:
        rig = begin(ComposeRig)
        rig.file.write_text("services: [")
        with pytest.raises(Permanent, match="exit code"):
            await rig.driver().do(rig.target(), rig.verb, {"count": 2}, rig.context())
        assert rig.effect() == ("running",)

    async def test_a_program_that_hangs_is_killed(self, begin: Any) -> None:
        rig = begin(ComposeRig)
        program = rig.folder / "docker-compose"
        program.write_text("#!/bin/sh\nsleep 60\n")
        program.chmod(0o755)
        target = rig.target(binary=str(program)).model_copy(update={"step_timeout": 2.0})
        with pytest.raises(Transient, match="killed"):
            await rig.driver().do(target, rig.verb, {"count": 2}, rig.context())

    async def test_a_program_that_says_yes_and_does_nothing_is_found_out(self, begin: Any) -> None:
        rig = begin(ComposeRig)
        target = rig.target(binary="/bin/true")
        await rig.driver().do(target, rig.verb, {"count": 2}, rig.context())
        assert not await rig.settled(rig.driver(), rig.verb, {"count": 2}, within=0.5)

    async def test_the_survivors_are_not_made_anew(self, begin: Any) -> None:
        rig = begin(ComposeRig)
        before = {one["Id"] for one in rig.inspected()}
        rig.file.write_text(rig.file.read_text().replace("sleep 3600", "sleep 3601"))
        await rig.driver().do(rig.target(), rig.verb, {"count": 2}, rig.context())
        assert before < {one["Id"] for one in rig.inspected()}

    @pytest.mark.parametrize("count", [-1, 1001, "2", True, 1.5, None])
    async def test_a_count_that_is_none(self, begin: Any, count: object) -> None:
        rig = begin(ComposeRig)
        with pytest.raises(Permanent, match="no count"):
            await rig.driver().do(rig.target(), rig.verb, {"count": count}, rig.context())


HOSTILE = ("--help", "", "a b", "a;rm", "$(x)", "{{x}}", "../x", "a\nb", "a=b", "*")


@pytest.mark.parametrize("word", HOSTILE)
def test_names_are_names_and_nothing_else(word: str) -> None:
    good: Mapping[str, Any] = {"project": "shop", "files": ["/x"], "service": "web"}
    for key in ("project", "service"):
        with pytest.raises(ValidationError):
            ComposeConfig.model_validate({**good, key: word})
    with pytest.raises(ValidationError):
        DockerConfig.model_validate({"label": word})


@pytest.mark.parametrize(
    "url", ["", "/var/run/docker.sock", "ssh://h", "unix://x", "http://h/x", "tcp://a b", "file:///x"]
)
def test_an_engine_is_named_by_its_address(url: str) -> None:
    with pytest.raises(ValidationError):
        DockerConfig(label="x", url=url)


@pytest.mark.prove
async def test_a_container_that_takes_its_time_is_given_it(begin: Any) -> None:
    class Slow(DockerRig):
        def begin(self, name: str) -> str:
            command = 'trap "sleep 1; exit 0" TERM; sleep 3600 & wait; sleep 1'
            return self.engine.run(name, "--label", f"grace.target={self.label}", command=command)

    rig = begin(Slow)
    _, desired = await plan(rig, Verb.STOP, {})
    await rig.driver().do(rig.target(kill_after=5), Verb.STOP, desired, rig.context())
    until(lambda: rig.effect() == ("exited",), 5)
    assert [one["State"]["ExitCode"] for one in rig.inspected()] == [0]
