"""Where the celery driver could do harm, tried on real workers over a real Redis."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import ValidationError

from catalog.model import Verb
from remediator import drivers
from remediator.drivers.celery import CeleryConfig
from remediator.errors import Permanent, Refused, Transient
from tests.contract.drivers.rigs.base import until
from tests.contract.drivers.rigs.celery import NODE, CeleryPauseRig, CeleryRestartRig, CeleryRig, CeleryThrottleRig


async def plan(rig: Any, verb: Verb | None = None, args: Any = None, **config: Any) -> tuple[Any, Any, Any]:
    driver, target = rig.driver(), rig.target(**config)
    before = await driver.observe(target, verb or rig.verb, rig.context())
    desired = driver.desire(target, verb or rig.verb, rig.args if args is None else args, before, rig.context())
    return driver, before, desired


@pytest.mark.parametrize(
    "broker", ["sqla+sqlite:///x.db", "sqs://", "memory://", "mongodb://h/x", "django://", "x", "redis:/x"]
)
def test_brokers_that_swallow_commands_are_refused(broker: str) -> None:
    with pytest.raises(ValidationError, match=r"does nothing|not a broker URL"):
        CeleryConfig(broker=broker, nodes=("w@h",))


@pytest.mark.parametrize("node", ["", "w1", "*", "w@h w@i", "--help@h", "w@h\n", "{{x}}@h"])
def test_a_node_is_a_name_and_nothing_else(node: str) -> None:
    if node == "--help@h":  # letters and dashes: a harmless name
        assert CeleryConfig(broker="redis://h", nodes=(node,)).nodes == (node,)
        return
    with pytest.raises(ValidationError):
        CeleryConfig(broker="redis://h", nodes=(node,))


async def test_a_paused_queue_is_left_alone_until_it_is_resumed(begin: Any) -> None:
    rig = begin(CeleryPauseRig)
    marker = rig.work / "marker"
    driver, before, desired = await plan(rig)
    await driver.do(rig.target(), Verb.PAUSE, desired, rig.context())
    assert await rig.settled(driver, Verb.PAUSE, desired)
    rig.send("nap", 0, str(marker))
    await asyncio.sleep(1)
    assert not marker.exists()
    observed = await driver.observe(rig.target(), Verb.PAUSE, rig.context())
    verb, back = driver.give_back(Verb.PAUSE, before, desired, observed)
    assert verb is Verb.RESUME
    await driver.do(rig.target(), verb, back, rig.context())
    until(lambda: marker.exists() and marker.read_text() == "begun done ", 10)
    await driver.close()


async def test_a_task_without_a_limit(begin: Any) -> None:
    """Half of no limit is nothing that one could know; and zero would be no limit at all."""
    rig = begin(CeleryThrottleRig)
    with pytest.raises(Refused) as caught:
        await plan(rig, throttle={"tasks": ["work.forget"]})
    assert caught.value.reason == "missing_capability"
    throttle = {"tasks": ["work.forget", "work.learn"], "unlimited_is": 120}
    driver, before, desired = await plan(rig, throttle=throttle)
    assert desired == {"limits": {NODE: {"work.forget": "60/m", "work.learn": "30/m"}}}
    target = rig.target(throttle=throttle)
    await driver.do(target, Verb.THROTTLE, desired, rig.context())
    assert rig.effect() == {"learn": "30/m", "forget": "60/m"}
    steps = driver.release_steps(Verb.THROTTLE, before, desired, await driver.observe(target, rig.verb, rig.context()))
    for step in steps:
        await driver.do(target, Verb.THROTTLE, step, rig.context())
        # A limit goes up stage by stage; no limit is not on the way, but its end.
        assert rig.effect()["forget"] == ("0" if step is steps[-1] else "60/m")
    assert rig.effect() == {"learn": "60/m", "forget": "0"}
    await driver.close()


@pytest.mark.prove
async def test_a_limit_never_falls_to_zero(begin: Any) -> None:
    rig = begin(CeleryThrottleRig)
    driver, _, desired = await plan(rig, args={"to": 0}, throttle={"tasks": ["work.learn"], "min": 0.25})
    assert desired == {"limits": {NODE: {"work.learn": "1/m"}}}
    await driver.do(rig.target(), Verb.THROTTLE, desired, rig.context())
    with pytest.raises(Refused) as caught:
        await plan(rig)
    assert caught.value.reason == "at_limit"
    await driver.close()


@pytest.mark.prove
async def test_a_task_that_is_not_there(begin: Any) -> None:
    rig = begin(CeleryThrottleRig)
    with pytest.raises(Permanent, match=r"no task work\.nope"):
        await plan(rig, throttle={"tasks": ["work.nope"]})


@pytest.mark.prove
async def test_a_node_that_is_not_there(begin: Any) -> None:
    rig = begin(CeleryThrottleRig)
    target = rig.target(nodes=[NODE, "w2@rig"]).model_copy(update={"step_timeout": 1.5})
    with pytest.raises(Transient, match="w2@rig did not answer"):
        await rig.driver().observe(target, rig.verb, rig.context())


@pytest.mark.prove
async def test_a_node_that_left_the_inventory_is_not_told_anything(begin: Any) -> None:
    rig = begin(CeleryThrottleRig)
    with pytest.raises(Refused) as caught:
        await rig.driver().do(rig.target(), rig.verb, {"limits": {"w9@rig": {"work.learn": "1/m"}}}, rig.context())
    assert caught.value.reason == "unknown_member"


ODD: dict[str, tuple[str, Any, Verb]] = {
    "no statistics": ("stats", "fine", Verb.SCALE),
    "no pool": ("stats", {"pool": None}, Verb.SCALE),
    "no processes": ("stats", {"pool": {"implementation": "prefork", "processes": "N/A"}}, Verb.SCALE),
    "no pids": ("stats", {"pool": {"implementation": "prefork", "processes": [-1, "x"]}}, Verb.SCALE),
    "another pool": ("stats", {"pool": {"implementation": "celery.concurrency.thread:TaskPool"}}, Verb.SCALE),
    "no tasks": ("registered", {"work.learn": 1}, Verb.THROTTLE),
    "no rate": ("registered", ["work.learn [rate_limit=fast]"], Verb.THROTTLE),
    "an endless rate": ("registered", ["work.learn [rate_limit=inf/m]"], Verb.THROTTLE),
    "no queues": ("active_queues", [1, 2], Verb.PAUSE),
    "an error": ("active_queues", {"error": "x"}, Verb.PAUSE),
}


@pytest.mark.parametrize("odd", ODD)
async def test_a_worker_that_answers_nonsense(begin: Any, fake_node: Callable[..., None], odd: str) -> None:
    """Somebody else's program, or another version, answers in the worker's place."""
    rig = begin(RedisAlone)
    command, answer, verb = ODD[odd]
    fake_node(rig, {command: lambda *_, **__: answer})
    with pytest.raises((Permanent, Refused)) as caught:
        await plan(rig, verb, {} if verb is Verb.PAUSE else {"factor": 0.5} if verb is Verb.THROTTLE else {"by": 1})
    assert NODE in str(caught.value) or "rate" in str(caught.value)


async def test_a_refusal_is_told_and_not_tried_again(begin: Any, fake_node: Callable[..., None]) -> None:
    rig = begin(RedisAlone)
    stats = {"pool": {"implementation": "prefork", "processes": [1, 2]}}
    asked: list[str] = []

    def grow(*_: Any, **__: Any) -> Any:
        asked.append("grow")
        return {"error": "pool_grow is not supported with autoscale. Adjust autoscale range instead."}

    fake_node(rig, {"stats": lambda *_, **__: stats, "pool_grow": grow})
    with pytest.raises(Refused) as caught:
        await rig.driver().do(rig.target(), Verb.SCALE, {"processes": {NODE: 3}}, rig.context())
    assert caught.value.reason == "autoscaled"
    assert asked == ["grow"]


async def test_growth_that_never_shows_is_asked_for_once(begin: Any, fake_node: Callable[..., None]) -> None:
    rig = begin(RedisAlone)
    asked: list[int] = []

    def grow(*_: Any, n: int, **__: Any) -> Any:
        asked.append(n)
        return {"ok": "pool will grow"}

    stats = {"pool": {"implementation": "prefork", "processes": [1, 2]}}
    fake_node(rig, {"stats": lambda *_, **__: stats, "pool_grow": grow})
    target = rig.target().model_copy(update={"step_timeout": 3.0})
    with pytest.raises(Permanent, match="was asked to grow to 3"):
        await rig.driver().do(target, Verb.SCALE, {"processes": {NODE: 3}}, rig.context())
    assert asked == [1]


README = (Path(drivers.__file__).parent / "celery" / "README.md").read_text()
ACL = README.split("`~")[1].split("`")[0]
"""As people copy it from there."""


class RedisAlone(CeleryRig):
    """A broker with no worker."""

    def start(self) -> None:
        self.broker_start()


class GuardedRig(CeleryThrottleRig):
    """Redis with an account that may use the remote control and nothing else."""

    def redis_settings(self) -> tuple[str, ...]:
        (self.folder / "password").write_text("hunter2/@:\n")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        return ("--port", str(self.port), "--user", "grace", "on", ">hunter2/@:", *f"~{ACL}".split())

    def config(self) -> Any:
        return {
            **super().config(),
            "broker": f"redis://grace@127.0.0.1:{self.port}/0",
            "password_file": self.folder / "password",
        }


async def test_the_least_rights_that_the_readme_names_suffice(begin: Any) -> None:
    rig = begin(GuardedRig)
    driver, _, desired = await plan(rig)
    await driver.do(rig.target(), rig.verb, desired, rig.context())
    assert rig.effect() == rig.expected
    await driver.close()
    with (
        redis.Redis(port=rig.port, username="grace", password="hunter2/@:") as link,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        link.lpush("celery", "a task of my own")
    with redis.Redis(unix_socket_path=str(rig.socket)) as link:
        link.execute_command("ACL", "SETUSER", "grace", "resetkeys")
    with pytest.raises(Refused) as caught:
        await rig.driver().observe(rig.target(), rig.verb, rig.context())
    assert caught.value.reason == "permission"


async def test_a_wrong_password_is_refused_and_in_no_message(begin: Any) -> None:
    rig = begin(GuardedRig)
    target = rig.target()
    (rig.folder / "password").write_text("hunter3\n")
    with pytest.raises(Refused) as caught:
        await rig.driver().observe(target, rig.verb, rig.context())
    assert caught.value.reason == "permission"
    assert "hunter" not in str(caught.value)
    (rig.folder / "password").unlink()
    with pytest.raises(Permanent, match="cannot be read"):
        await rig.driver().observe(target, rig.verb, rig.context())


async def test_a_password_that_expires_in_the_middle(begin: Any) -> None:
    """Between a look and the deed: refused, and the next one in the file is taken up by the same driver."""
    rig = begin(GuardedRig)
    driver, _, desired = await plan(rig)
    before = rig.effect()
    with redis.Redis(unix_socket_path=str(rig.socket)) as link:
        link.execute_command("ACL", "SETUSER", "grace", "resetpass", ">fresh-password")
    with pytest.raises(Refused) as caught:
        await driver.do(rig.target(), rig.verb, desired, rig.context())
    assert caught.value.reason == "permission"
    assert rig.effect() == before
    target = rig.target()
    (rig.folder / "password").write_text("fresh-password\n")
    await driver.do(target, rig.verb, desired, rig.context())
    assert rig.effect() == rig.expected
    await driver.close()


@pytest.mark.prove
async def test_asking_often_leaves_nothing_behind(begin: Any) -> None:
    rig = begin(CeleryThrottleRig)
    driver = rig.driver()
    counts = []
    with redis.Redis(unix_socket_path=str(rig.socket)) as link:
        for _ in range(3):
            for _ in range(10):
                await driver.observe(rig.target(), rig.verb, rig.context())
            counts.append(
                {key: link.scard(key) for key in link.keys("*") if link.type(key) == b"set"} | {"": link.dbsize()}
            )
    await driver.close()
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.prove
async def test_a_restart_interrupts_no_task(begin: Any) -> None:
    rig = begin(CeleryRestartRig)
    marker = rig.work / "marker"
    rig.send("nap", 12, str(marker))
    until(marker.exists, 10)
    driver, _, desired = await plan(rig)
    await driver.do(rig.target(), rig.verb, desired, rig.context())
    assert marker.read_text() == "begun done "
    assert rig.effect() == [True, True]
    await driver.close()


@pytest.mark.prove
async def test_a_process_that_never_ends_its_task_is_left_and_told(begin: Any) -> None:
    rig = begin(CeleryRestartRig)
    marker = rig.work / "marker"
    rig.send("nap", 600, str(marker))
    until(marker.exists, 10)
    driver, _, desired = await plan(rig)
    target = rig.target().model_copy(update={"step_timeout": 18.0})
    with pytest.raises(Transient, match="1 old processes are busy"):
        await driver.do(target, rig.verb, desired, rig.context())
    assert marker.read_text() == "begun "
    # The idle one was replaced, and capacity never fell.
    assert sum(rig.effect()) == 2
    await driver.close()


@pytest.mark.prove
async def test_giving_back_ends_idle_processes_only(begin: Any) -> None:
    rig = begin(CeleryRig)
    markers = [rig.work / f"marker-{number}" for number in range(2)]
    for marker in markers:
        rig.send("nap", 8, str(marker))
    until(lambda: all(marker.exists() for marker in markers), 10)
    driver = rig.driver()
    await driver.do(rig.target(), Verb.SCALE, {"processes": {NODE: 3}}, rig.context())
    await driver.do(rig.target(), Verb.SCALE, {"processes": {NODE: 1}}, rig.context())
    assert len(rig.pids()) == 1
    assert [marker.read_text() for marker in markers] == ["begun done "] * 2
    await driver.close()


@pytest.mark.prove
@pytest.mark.parametrize(
    ("pool", "reason"), [(("--autoscale", "4,2"), "autoscaled"), (("-P", "threads"), "wrong_pool")]
)
async def test_pools_that_are_not_ours_to_size(begin: Any, pool: tuple[str, ...], reason: str) -> None:
    class Other(CeleryRig):
        pass

    Other.pool = pool
    rig = begin(Other)
    effect = rig.effect()
    with pytest.raises(Refused) as caught:
        await plan(rig)
    assert caught.value.reason == reason
    with pytest.raises(Refused):
        await rig.driver().do(rig.target(), Verb.SCALE, {"processes": {NODE: effect + 1}}, rig.context())
    assert rig.effect() == effect


@pytest.fixture
def fake_node() -> Any:
    """Answers the remote control in a worker's name, with handlers of a test's."""
    from celery import Celery

    done = threading.Event()
    threads: list[threading.Thread] = []

    def begin_node(rig: Any, handlers: dict[str, Any]) -> None:
        app = Celery(broker=rig.broker, set_as_current=False)
        listening = threading.Event()

        def serve() -> None:
            with app.connection() as connection:
                node = app.control.mailbox(connection).Node(NODE, channel=connection.default_channel)
                node.handlers.update(handlers)
                with node.Consumer(callbacks=[node.handle_message]):
                    listening.set()
                    while not done.is_set():
                        try:
                            connection.drain_events(timeout=0.1)
                        except TimeoutError:
                            continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        threads.append(thread)
        assert listening.wait(10)

    yield begin_node
    done.set()
    for thread in threads:
        thread.join(5)
