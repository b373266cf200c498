"""The API shards behind the balancer: capacity, weights, and what the faults really do to them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from circus.client import CircusClient
from prometheus_client import CollectorRegistry, multiprocess

from demo import faults
from demo.layout import tidy
from demo.workload import SHARD_CORES
from tests.integration.demo.runner import Workload, until

SHARDS = ("api-1", "api-2")


@pytest.fixture
def api(workload: Workload) -> Workload:
    """Shards, balancer and load, running."""
    workload.start("api-1", "api-2", "balancer", "load")
    return workload


def calls(workload: Workload, since: float) -> list[dict[str, float]]:
    """What the visitor noted of calls that began after `since`."""
    log = workload.place.load_log
    lines = log.read_text().splitlines() if log.exists() else []
    return [call for call in map(json.loads, lines) if call["at"] > since]


def latencies(workload: Workload, since: float) -> list[float]:
    """The visitor's times in ms, sorted, of calls that began after `since`."""
    return sorted(call["ms"] for call in calls(workload, since))


def p95(workload: Workload, count: int) -> float:
    """Of that many calls from now on."""
    since = time.time()
    until(f"{count} calls", lambda: len(calls(workload, since)) >= count, 40)
    times = latencies(workload, since)
    return times[int(len(times) * 0.95)]


def statuses(workload: Workload, since: float) -> list[float]:
    return [call["status"] for call in calls(workload, since)]


def cpu_share(workload: Workload, shard: str, count: int) -> float:
    """CPU seconds of the shard's processes over what it may use, while that many calls are made."""
    master = psutil.Process(int(workload.place.shard_pidfile(shard).read_text()))

    def used() -> float:
        return sum(sum(each.cpu_times()[:2]) for each in [master, *master.children()])

    since, began, before = time.time(), time.monotonic(), used()
    until(f"{count} calls", lambda: len(calls(workload, since)) >= count, 40)
    return (used() - before) / (time.monotonic() - began) / SHARD_CORES


def column(workload: Workload, shard: str, name: str) -> str:
    head, *rows = workload.balancer("show stat").removeprefix("# ").splitlines()
    names = head.split(",")
    return next(row.split(",")[names.index(name)] for row in rows if row.startswith(f"api,{shard},"))


def nodes(workload: Workload, count: int) -> None:
    client = CircusClient(endpoint=workload.place.pool_endpoint, timeout=10)
    try:
        client.send_message("set", name="nodes", options={"numprocesses": count}, waiting=True)
        if count:  # a watcher that began with none is stopped, and only keeps the number in mind
            client.send_message("start", name="nodes", match="simple")
    finally:
        client.stop()


def workers(workload: Workload, shard: str) -> list[int]:
    return [child.pid for child in psutil.Process(workload.running[shard].pid).children()]


def until_capacity(workload: Workload, shard: str, count: int) -> None:
    until(f"{shard} takes {count} at once", lambda: column(workload, shard, "slim") == str(count))


def add_worker(workload: Workload, shard: str) -> None:
    before = len(workers(workload, shard))
    workload.running[shard].send_signal(signal.SIGTTIN)
    until_capacity(workload, shard, before + 1)


def test_the_load_is_light_and_answered_fast(api: Workload) -> None:
    assert p95(api, 60) < 150
    assert set(statuses(api, 0.0)) == {200}
    assert cpu_share(api, "api-1", 40) < 0.4


def test_capacity_follows_workers_and_weights_stay_with_the_runtime_api(api: Workload) -> None:
    api.balancer("set weight api/api-1 20")
    add_worker(api, "api-1")
    assert api.balancer("get weight api/api-1").split()[0] == "20"
    api.running["api-1"].send_signal(signal.SIGTTOU)
    until_capacity(api, "api-1", 1)
    assert api.balancer("get weight api/api-1").split()[0] == "20"
    assert api.balancer("get weight api/api-2").split()[0] == "100"


def test_a_node_joins_the_balancer_when_it_is_there_and_no_request_is_lost(api: Workload) -> None:
    api.start("pool")
    assert column(api, "api-3", "status") == "MAINT"
    since = time.time()
    nodes(api, 1)
    until("api-3 serves", lambda: column(api, "api-3", "status") == "UP")
    until("the visitor was served by it", lambda: int(column(api, "api-3", "stot")) > 5)
    nodes(api, 0)
    until("api-3 is gone", lambda: column(api, "api-3", "status") == "DOWN")
    after = time.time()
    until("20 more calls", lambda: len(calls(api, after)) >= 20)
    assert set(statuses(api, since)) == {200}


def test_costly_requests_fill_a_shard_until_it_gets_less_of_them(api: Workload) -> None:
    faults.inject(api.place.faults, "cpu", time.time())
    since = time.time()
    assert cpu_share(api, "api-1", 60) > 0.85
    times = latencies(api, since)
    assert times[int(len(times) * 0.95)] < 350
    api.balancer("set weight api/api-1 20")
    assert cpu_share(api, "api-1", 60) < 0.70


def test_a_slow_dependency_is_met_by_one_more_worker(api: Workload) -> None:
    faults.inject(api.place.faults, "slow-api", time.time())
    p95(api, 9)  # pages that began before the fault
    assert p95(api, 30) > 500
    add_worker(api, "api-1")
    p95(api, 9)
    assert p95(api, 60) < 350


def test_broken_workers_answer_500_until_they_are_restarted(api: Workload) -> None:
    faults.inject(api.place.faults, "errors", time.time())
    since = time.time()
    until("errors", lambda: statuses(api, since).count(500) > 3)
    old = set(workers(api, "api-1"))
    api.running["api-1"].send_signal(signal.SIGHUP)
    until("other workers", lambda: workers(api, "api-1") and not old & set(workers(api, "api-1")))
    settled = time.time()
    until("60 calls", lambda: len(statuses(api, settled)) >= 60)
    assert set(statuses(api, settled)) == {200}


def test_a_killed_worker_is_replaced_and_no_longer_counted(api: Workload, alive: Callable[[Path], set[int]]) -> None:
    old = workers(api, "api-1")[0]
    folder = api.place.multiproc("api-1")
    until("its live gauge", lambda: old in alive(folder))
    os.kill(old, signal.SIGKILL)
    until("a new one", lambda: workers(api, "api-1") and old not in workers(api, "api-1"))
    until("the old one's gauge is gone", lambda: old not in alive(folder))
    assert p95(api, 30) < 350


@pytest.fixture
def alive() -> Callable[[Path], set[int]]:
    """Whose gauges are counted as of the living: the pids in a multiprocess folder."""
    return lambda folder: {int(path.stem.rsplit("_", 1)[1]) for path in folder.glob("gauge_live*_*.db")}


def test_what_is_measured_are_requests_with_their_waiting_and_not_health_checks(api: Workload) -> None:
    p95(api, 40)
    registry = CollectorRegistry()
    for shard in SHARDS:
        multiprocess.MultiProcessCollector(registry, path=str(api.place.multiproc(shard)))
    samples = [sample for family in registry.collect() for sample in family.samples]
    routes = {sample.labels["route"] for sample in samples if "route" in sample.labels}
    assert routes == {"/api/items/{item}"}
    assert [sample.value for sample in samples if sample.name == "grace_http_workers"] == [1.0, 1.0]


def test_stopping_leaves_no_process_and_no_socket(workload: Workload) -> None:
    workload.start()
    family = [child for name in workload.running for child in workload.tree(name)]
    for name in reversed(list(workload.running)):
        workload.stop(name)
    assert not [process for process in family if process.is_running()]
    tidy(workload.data)
    # Where the data folder's path is too long for sockets, `run` was a link to a short one, which is gone as a whole.
    assert not workload.place.run.exists() or list(workload.place.run.iterdir()) == []
