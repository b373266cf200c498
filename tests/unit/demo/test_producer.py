"""The producer's pace, when all is well and in a flood."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.faults import FaultFile, clear, inject
from demo.producer import PER_SECOND, Producer
from demo.tasks import TaskTable


@pytest.fixture
def table(tmp_path: Path) -> TaskTable:
    made = TaskTable(tmp_path / "tasks.db")
    made.create()
    return made


def _tick(producer: Producer, start: float, seconds: float) -> float:
    for quarter in range(int(seconds * 4)):
        producer.tick(start + (quarter + 1) / 4)
    return start + seconds


def test_a_steady_pace(table: TaskTable, tmp_path: Path) -> None:
    producer = Producer(table, FaultFile(tmp_path / "faults.json"), 100.0)
    _tick(producer, 100.0, 30.0)
    assert table.waiting() == 30 * PER_SECOND


def test_a_flood_is_one_burst_and_a_faster_pace_until_it_is_cleared(table: TaskTable, tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    producer = Producer(table, FaultFile(path), 100.0)
    inject(path, "queue-flood", 100.0)
    now = _tick(producer, 100.0, 10.0)
    assert table.waiting() == 100 + 10 * (PER_SECOND + 6)
    clear(path, "queue-flood")
    _tick(producer, now, 10.0)
    assert table.waiting() == 100 + 10 * (PER_SECOND + 6) + 10 * PER_SECOND


def test_a_restarted_producer_does_not_repeat_the_burst(table: TaskTable, tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    inject(path, "queue-flood", 100.0)
    for _ in range(3):
        Producer(table, FaultFile(path), 100.0).tick(100.0)
    assert table.waiting() == 100


def test_a_suspended_machine_wakes_without_a_flood(table: TaskTable, tmp_path: Path) -> None:
    Producer(table, FaultFile(tmp_path / "faults.json"), 100.0).tick(100_000.0)
    assert table.waiting() == 5 * PER_SECOND
