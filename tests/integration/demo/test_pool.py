"""The process pool: real workers under a real arbiter, and tasks that survive them."""

from __future__ import annotations

import os
import signal
import sqlite3
import time

import psutil
import pytest
from circus.client import CircusClient

from demo import faults
from demo.outside import Outside
from demo.tasks import TaskTable
from tests.integration.demo.runner import Workload, until


@pytest.fixture
def pool(workload: Workload) -> Workload:
    """The arbiter with its two workers, which wait for tasks."""
    workload.start("pool")
    until("two workers", lambda: len(Outside(workload.place).pool_workers()) == 2)
    return workload


def scale(workload: Workload, watcher: str, count: int) -> None:
    client = CircusClient(endpoint=workload.place.pool_endpoint, timeout=10)
    try:
        answer = client.send_message("set", name=watcher, options={"numprocesses": count}, waiting=True)
        assert answer["status"] == "ok", answer
        if count:  # a watcher that began with none is stopped, and only keeps the number in mind
            client.send_message("start", name=watcher, match="simple")
    finally:
        client.stop()


def done(workload: Workload) -> int:
    with sqlite3.connect(workload.place.tasks) as db:
        return int(db.execute("SELECT count(*) FROM tasks WHERE finished_at IS NOT NULL").fetchone()[0])


def table(workload: Workload) -> TaskTable:
    return TaskTable(workload.place.tasks)


def test_more_workers_are_more_work_and_survivors_keep_their_pids(pool: Workload) -> None:
    outside = Outside(pool.place)
    before = set(outside.pool_workers())
    scale(pool, "workers", 3)
    until("three workers", lambda: len(outside.pool_workers()) == 3)
    assert before < set(outside.pool_workers())
    until("three heartbeats", lambda: table(pool).live()[0] == 3)
    scale(pool, "workers", 2)
    until("two workers", lambda: len(outside.pool_workers()) == 2)
    until("two heartbeats", lambda: table(pool).live()[0] == 2, 2.0)


def test_the_standby_pool_starts_idle_and_takes_tasks_when_started(pool: Workload) -> None:
    outside = Outside(pool.place)
    scale(pool, "standby", 2)
    until("four workers", lambda: len(outside.pool_workers()) == 4)
    scale(pool, "standby", 0)
    until("two workers", lambda: len(outside.pool_workers()) == 2)


def test_a_killed_workers_task_is_done_by_another(pool: Workload) -> None:
    tasks = table(pool)
    tasks.enqueue(2, 2.0, time.time())
    until("both are claimed", lambda: tasks.waiting() == 0)
    victim = Outside(pool.place).pool_workers()[0]
    os.kill(victim, signal.SIGKILL)
    until("both are done", lambda: done(pool) == 2)
    until("another worker", lambda: len(set(Outside(pool.place).pool_workers()) - {victim}) == 2)


def test_a_stopped_worker_gives_its_task_back(pool: Workload) -> None:
    tasks = table(pool)
    tasks.enqueue(1, 30.0, time.time())
    until("it is claimed", lambda: tasks.waiting() == 0)
    pool.stop("pool")
    assert tasks.waiting() == 1
    assert tasks.live() == (0, 0.0)


def test_workers_end_with_their_arbiter(pool: Workload) -> None:
    workers = [psutil.Process(pid) for pid in Outside(pool.place).pool_workers()]
    pool.stop("pool", signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive


def test_two_workers_do_not_drain_a_flood_and_three_do(workload: Workload) -> None:
    workload.start("pool", "producer")
    outside = Outside(workload.place)
    until("tasks are done", lambda: done(workload) > 4)
    assert outside.waiting() < 5
    faults.inject(workload.place.faults, "queue-flood", time.time())
    until("the burst", lambda: outside.waiting() > 75)
    flooded, since = done(workload), time.time()
    until("40 of them", lambda: done(workload) >= flooded + 40)
    assert 6.0 < 40 / (time.time() - since) < 8.2
    assert outside.waiting() > 75
    until("all busy", lambda: table(workload).live()[1] > 1.9)
    scale(workload, "workers", 3)
    until("three heartbeats", lambda: table(workload).live()[0] == 3)
    most = outside.waiting()
    until("it is being drained", lambda: outside.waiting() <= most - 20)


def test_a_stuck_worker_shows_as_busy_until_the_fault_is_gone(workload: Workload) -> None:
    workload.start("pool", "producer")
    tasks, outside = table(workload), Outside(workload.place)
    until("two heartbeats", lambda: tasks.live()[0] == 2)
    faults.inject(workload.place.faults, "stuck-worker", time.time(), worker=outside.oldest_worker())
    until("one hangs, the other works", lambda: tasks.live()[1] > 1.3)
    assert tasks.live()[0] == 2
    faults.clear(workload.place.faults)
    until("both have time", lambda: tasks.live()[1] < 1.0)
