"""The task table: no task is lost, none is done by two who both live."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.tasks import DEAD_AFTER, DEPTH, KEEP_FINISHED, MOST_WAITING, TaskTable

NOW = 1_700_000_000.0


@pytest.fixture
def table(tmp_path: Path) -> Iterator[TaskTable]:
    made = TaskTable(tmp_path / "tasks.db")
    made.create()
    yield made
    made.close()


def test_tasks_are_claimed_oldest_first_and_once(table: TaskTable) -> None:
    table.enqueue(2, 0.25, NOW)
    first, second = table.claim("a", NOW), table.claim("b", NOW)
    assert first is not None
    assert second is not None
    assert (first.id, second.id, first.cost) == (1, 2, 0.25)
    assert table.claim("a", NOW) is None


def test_a_dead_workers_task_waits_again_with_its_age(table: TaskTable, tmp_path: Path) -> None:
    table.enqueue(1, 0.25, NOW)
    table.beat("a", 1, 1.0, NOW)
    task = table.claim("a", NOW)
    assert task is not None
    assert table.requeue_of_dead(NOW + DEAD_AFTER - 0.1) == 0
    assert table.requeue_of_dead(NOW + DEAD_AFTER + 0.1) == 1
    assert table.claim("b", NOW + 9) == task
    assert sqlite3.connect(tmp_path / "tasks.db").execute("SELECT enqueued_at FROM tasks").fetchone() == (NOW,)


def test_who_seemed_dead_cannot_finish_what_another_took_over(table: TaskTable) -> None:
    table.enqueue(1, 0.25, NOW)
    task = table.claim("a", NOW)
    assert task is not None
    table.requeue_of_dead(NOW + 60)
    table.claim("b", NOW + 60)
    assert not table.finish(task, "a", NOW + 61)
    assert table.finish(task, "b", NOW + 61)
    assert not table.finish(task, "b", NOW + 62)


def test_a_task_given_back_waits(table: TaskTable) -> None:
    table.enqueue(1, 0.25, NOW)
    task = table.claim("a", NOW)
    assert task is not None
    table.give_back(task, "b")
    assert table.waiting() == 0
    table.give_back(task, "a")
    assert table.waiting() == 1


def test_a_burst_comes_once(table: TaskTable) -> None:
    assert table.enqueue_burst(NOW, 100, 0.25, NOW) == 100
    assert table.enqueue_burst(NOW, 100, 0.25, NOW + 1) == 0
    assert table.enqueue_burst(NOW + 1, 100, 0.25, NOW + 1) == 100
    assert table.waiting() == 200


def test_a_flood_ends_at_what_may_wait(table: TaskTable) -> None:
    assert table.enqueue(MOST_WAITING - 1, 0.25, NOW) == MOST_WAITING - 1
    assert table.enqueue(5, 0.25, NOW) == 1
    assert table.enqueue(5, 0.25, NOW) == 0


def test_only_workers_whose_heart_beats_count(table: TaskTable) -> None:
    now = time.time()
    table.beat("dead", 1, 1.0, now - DEAD_AFTER - 1)
    assert table.live() == (0, 0.0)
    table.beat("a", 2, 0.5, now)
    table.beat("b", 3, 0.25, now - DEAD_AFTER + 2)
    assert table.live() == (2, 0.75)
    table.leave("a")
    assert table.live() == (1, 0.25)


def test_an_empty_queue_has_no_oldest_task(table: TaskTable, tmp_path: Path) -> None:
    reader = sqlite3.connect(tmp_path / "tasks.db")
    assert reader.execute(DEPTH).fetchone() == (0, None)
    table.enqueue(1, 0.25, NOW)
    table.enqueue(1, 0.25, NOW + 5)
    assert reader.execute(DEPTH).fetchone() == (2, NOW)


def test_what_is_long_done_is_forgotten_and_what_waits_is_not(table: TaskTable, tmp_path: Path) -> None:
    table.enqueue(3, 0.25, NOW)
    task = table.claim("a", NOW)
    assert task is not None
    table.finish(task, "a", NOW)
    table.claim("a", NOW)
    table.forget(NOW + KEEP_FINISHED + 1)
    assert sqlite3.connect(tmp_path / "tasks.db").execute("SELECT count(*) FROM tasks").fetchone() == (2,)


def test_a_failing_transaction_leaves_the_table_usable(table: TaskTable) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        table.enqueue(1, None, NOW)  # type: ignore[arg-type]
    assert table.enqueue(1, 0.25, NOW) == 1
