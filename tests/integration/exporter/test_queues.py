"""Queues in a real Redis, and tasks that a real Celery sent there."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from catalog.load import load_catalog
from exporter.collectors.base import CollectError, Setting
from exporter.collectors.celery import CeleryCollector, CeleryConfig
from exporter.collectors.redis import RedisCollector, RedisConfig
from exporter.families import Reading
from tests.contract.drivers.rigs.celery import redis_server
from tests.integration.exporter.amqp import silent_broker
from tests.integration.exporter.conftest import until

BOTH = ["executor.queue_depth", "executor.task_latency"]
DEPTH, OLDEST = "grace_executor_queue_depth", "grace_executor_oldest_task_timestamp_seconds"
APP = """
import os, time
from celery import Celery
app = Celery("work", broker=os.environ["BROKER"])
app.conf.broker_transport_options = {"queue_order_strategy": "priority"}
app.conf.worker_prefetch_multiplier = 1

@app.task
def nap(seconds):
    time.sleep(seconds)
"""
SENDER = """
import sys
from work import nap
if "stamped" in sys.argv:
    from exporter.middleware.celery import stamp_tasks
    stamp_tasks()
for priority in (3, 0):
    nap.apply_async((0.01,), priority=priority)
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[redis.Redis]:
    program, environment = redis_server()
    socket = tmp_path / "redis.sock"
    process = subprocess.Popen(
        [str(program), "--port", "0", "--unixsocket", str(socket), "--save", ""], env=environment
    )
    client = redis.Redis(unix_socket_path=str(socket))
    until(lambda: socket.exists() and client.ping())
    yield client
    client.close()
    process.kill()
    process.wait()


def values(reading: Reading) -> dict[str, float]:
    return {family.name: family.samples[0].value for family in reading.families}


async def collect(collector: Any) -> Reading:
    try:
        return await collector.probes[0].collect()
    finally:
        await collector.close()


async def read_key(socket: Path, **queue: Any) -> Reading:
    described = {"metric_ids": BOTH, "key": "work", "resource": "workers", "oldest": OLDEST, **queue}
    written = {"name": "queue", "collector": "redis", "url": f"unix://{socket}?db=0", "queues": [described]}
    config = RedisConfig.model_validate(written)
    catalog = load_catalog()
    assert not list(config.faults(catalog))
    return await collect(RedisCollector(config, Setting(catalog, 15.0)))


async def test_a_queue_that_is_not_there_is_empty(broker: redis.Redis, tmp_path: Path) -> None:
    reading = await read_key(tmp_path / "redis.sock")
    assert values(reading) == {DEPTH: 0}
    assert {each.metric_id for each in reading.measured} == set(BOTH)


async def test_lists_streams_and_sorted_sets(broker: redis.Redis, tmp_path: Path) -> None:
    socket = tmp_path / "redis.sock"
    for at in (1700000000.5, 1700000010):
        broker.lpush("list", json.dumps({"meta": {"at": at}}))
        broker.zadd("set", {str(at): at})
        broker.xadd("stream", {"a": "b"}, id=f"{int(at * 1000)}-0")
    expected = {DEPTH: 2, OLDEST: 1700000000.5}
    assert values(await read_key(socket, key="list", oldest_at="$.meta.at")) == expected
    assert values(await read_key(socket, key="set")) == expected
    assert values(await read_key(socket, key="stream")) == expected
    newest = await read_key(socket, key="list", oldest_at="$.meta.at", oldest_first=True)
    assert values(newest)[OLDEST] == 1700000010


async def test_what_does_not_tell_its_time_is_a_failure(broker: redis.Redis, tmp_path: Path) -> None:
    socket = tmp_path / "redis.sock"
    broker.lpush("list", "no json")
    broker.set("word", "x")
    for name, told in (("huge", 10**400), ("endless", float("inf")), ("no", float("nan")), ("yes", True)):
        broker.lpush(name, json.dumps({"at": told}))
    for queue, said in (
        *(({"key": name, "oldest_at": "$.at"}, "has no time at") for name in ("huge", "endless", "no", "yes")),
        ({"key": "list"}, "oldest_at must say"),
        ({"key": "list", "oldest_at": "$.at"}, "is no JSON"),
        ({"key": "word"}, "is a string"),
    ):
        with pytest.raises(CollectError, match=said):
            await read_key(socket, **queue)


async def test_a_password_in_a_file_is_read_for_every_connection(broker: redis.Redis, tmp_path: Path) -> None:
    socket, file = tmp_path / "redis.sock", tmp_path / "password"
    broker.config_set("requirepass", "hunter2")
    queue = {"metric_ids": BOTH, "key": "work", "resource": "workers"}
    written = {"name": "q", "collector": "redis", "url": f"unix://{socket}?db=0", "password_file": file}
    collector = RedisCollector(
        RedisConfig.model_validate({**written, "queues": [queue]}), Setting(load_catalog(), 15.0)
    )
    with pytest.raises(CollectError, match="cannot be read"):
        await collector.probes[0].collect()
    for password in ("wrong-one", "hunter2"):
        file.write_text(password)
        if password == "hunter2":
            assert values(await collector.probes[0].collect()) == {DEPTH: 0}
        else:
            with pytest.raises(CollectError) as failed:
                await collector.probes[0].collect()
            assert "wrong-one" not in str(failed.value)
    await collector.close()


class Tasks:
    """A Celery application over the broker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = f"redis+socket://{folder / 'redis.sock'}"
        self.environment = {
            **os.environ, "BROKER": self.broker, "C_FORCE_ROOT": "1", "PYTHONPATH": f"{folder}:{os.getcwd()}",
        }  # fmt: skip
        (folder / "work.py").write_text(APP)

    def send(self, *how: str) -> None:
        command = [sys.executable, "-c", SENDER, *how]
        subprocess.run(command, env=self.environment, cwd=self.folder, check=True, timeout=60)

    def work(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "-A", "work", "worker", "-c", "1", "-l", "ERROR"]
        return subprocess.Popen(command, env=self.environment, cwd=self.folder, stdout=subprocess.DEVNULL)

    async def read(self, **queue: Any) -> Reading:
        described = {"metric_ids": BOTH, "resource": "workers", **queue}
        written = {"name": "queue", "collector": "celery", "broker": self.broker, "queues": [described]}
        config = CeleryConfig.model_validate(written)
        catalog = load_catalog()
        assert not list(config.faults(catalog))
        return await collect(CeleryCollector(config, Setting(catalog, 15.0)))


async def test_tasks_that_wait_are_counted_until_a_worker_has_done_them(broker: redis.Redis, tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    assert values(await tasks.read(oldest=OLDEST)) == {DEPTH: 0}
    before = time.time()
    tasks.send("stamped")
    between = time.time()
    tasks.send("stamped")
    found = values(await tasks.read(oldest=OLDEST))
    assert found[DEPTH] == 4
    assert before <= found[OLDEST] <= between
    worker = tasks.work()
    try:
        until(lambda: not [key for key in broker.keys() if key.startswith(b"celery")], 60)  # noqa: SIM118
        assert values(await tasks.read(oldest=OLDEST)) == {DEPTH: 0}
    finally:
        worker.kill()
        worker.wait()


async def test_tasks_that_nobody_stamped_are_counted_and_have_no_age(broker: redis.Redis, tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    tasks.send()
    assert values(await tasks.read()) == {DEPTH: 2}
    with pytest.raises(CollectError, match="call stamp_tasks"):
        await tasks.read(oldest=OLDEST)


async def test_a_task_whose_header_is_no_time_is_a_failure(broker: redis.Redis, tmp_path: Path) -> None:
    broker.lpush("celery", json.dumps({"headers": {"grace_sent_at": 10**400}}))
    with pytest.raises(CollectError, match="of a task is no time"):
        await Tasks(tmp_path).read(oldest=OLDEST)


def over_amqp(port: int, timeout: float) -> CeleryCollector:
    queue = {"metric_ids": BOTH[:1], "resource": "workers"}
    written = {"name": "queue", "collector": "celery", "broker": f"amqp://127.0.0.1:{port}//", "timeout": timeout}
    return CeleryCollector(CeleryConfig.model_validate({**written, "queues": [queue]}), Setting(load_catalog(), 15.0))


async def test_a_broker_that_falls_silent_is_asked_again() -> None:
    with silent_broker() as port:
        collector = over_amqp(port, 0.3)
        for _ in range(2):
            async with asyncio.timeout(5):
                with pytest.raises(CollectError, match="the broker cannot be asked"):
                    await collector.probes[0].collect()
        await collector.close()


async def test_a_collector_ends_at_once_while_its_broker_is_silent() -> None:
    heard = threading.Event()
    with silent_broker(heard) as port:
        collector = over_amqp(port, 20)
        asked = asyncio.create_task(collector.probes[0].collect())
        assert await asyncio.to_thread(heard.wait, 5)
        begun = time.monotonic()
        await collector.close()
        assert time.monotonic() - begun < 2
        with pytest.raises(CollectError):
            await asyncio.wait_for(asked, 5)


async def test_a_broker_that_is_gone_is_a_failure_without_its_url(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    tasks.broker = "redis://:hunter2@127.0.0.1:1/0"
    with pytest.raises(CollectError, match="the broker cannot be asked") as failed:
        await tasks.read()
    assert "hunter2" not in str(failed.value)
