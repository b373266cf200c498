"""Ingestion's cadence and what its sessions leave, at full scale and in the drill profile."""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from pathlib import Path

import pytest

from catalog.model import TimeScale
from demo.faults import FaultFile, inject
from demo.ingestion import Ingestion, first_rate_limit, next_start
from demo.learning import Control, LearningTable
from demo.sources import DOCUMENTS, exercise, passes, read_manifest, write_sources
from demo.trust_analysis import analyse, render

INTERVALS = [TimeScale().interval(300), TimeScale(drill=True).interval(300)]


def simulate(tmp_path: Path, interval: float, seconds: float, **control: float) -> tuple[LearningTable, list[float]]:
    """Ingestion over simulated seconds, a tick every tenth; the table and when each session started."""
    write_sources(tmp_path / "sources")
    table = LearningTable(tmp_path / "learning.db")
    table.create(control.get("rate_limit", first_rate_limit(interval)))
    faults = FaultFile(tmp_path / "faults.json")
    ingestion = Ingestion(table, tmp_path / "sources", faults, interval)
    step = interval / 60
    moments = [1000.0 + step * tick for tick in range(int(seconds / step))]
    return table, [now for now in moments if ingestion.tick(now)]


@pytest.mark.parametrize("interval", INTERVALS)
def test_every_window_sees_one_or_two_sessions_and_enough_checks(tmp_path: Path, interval: float) -> None:
    _, started = simulate(tmp_path, interval, 20 * interval)
    assert started[0] == 1000.0
    for tick in range(60, 60 * 19):
        end = 1000.0 + tick * interval / 60
        inside = [moment for moment in started if end - interval < moment <= end]
        assert 1 <= len(inside) <= 2


@pytest.mark.parametrize("interval", INTERVALS)
def test_a_healthy_ingestion_is_good_in_every_window(tmp_path: Path, interval: float) -> None:
    table, started = simulate(tmp_path, interval, 30 * interval)
    counts = table.counts()
    assert counts["checked"] == counts["verified"] == 8 * len(started)
    assert counts["passes"] / counts["runs"] == pytest.approx(0.95, abs=0.02)
    assert 0 < counts["blocks"] <= len(started) / 9


def test_no_session_has_two_failing_runs() -> None:
    failing = [number for number in range(10_000) if not passes(exercise(number))]
    assert all(later - earlier >= 16 for earlier, later in itertools.pairwise(failing))


def test_bad_exercises_fail_a_quarter_of_every_session_and_nothing_else(tmp_path: Path) -> None:
    inject(tmp_path / "faults.json", "bad-exercises", 1.0)
    table, started = simulate(tmp_path, 6.0, 120.0)
    counts = table.counts()
    assert counts["passes"] == 6 * len(started) == 0.75 * counts["runs"]
    assert counts["verified"] == counts["checked"]


def test_bad_sources_spoil_the_documents_and_nothing_else(tmp_path: Path) -> None:
    inject(tmp_path / "faults.json", "bad-sources", 1.0)
    table, started = simulate(tmp_path, 6.0, 120.0)
    counts = table.counts()
    assert counts["verified"] / counts["checked"] == pytest.approx(0.2, abs=0.02)
    assert counts["passes"] / counts["runs"] > 0.9
    assert len(started) == pytest.approx(120 / (0.65 * 6), abs=2)
    origins, altered = analyse(tmp_path / "learning.db")
    assert sum(one.checked for one in origins) == 200
    assert min(origins, key=lambda one: one.share) == origins[0]
    assert altered
    assert "not trusted" in render(origins, altered)


def test_a_flood_goes_as_fast_as_the_limit_and_a_throttle_halves_it(tmp_path: Path) -> None:
    inject(tmp_path / "faults.json", "ingestion-flood", 1.0)
    _, started = simulate(tmp_path, 6.0, 60.0)
    assert len(started) == pytest.approx(100, abs=3)
    (tmp_path / "half").mkdir()
    inject(tmp_path / "half" / "faults.json", "ingestion-flood", 1.0)
    _, throttled = simulate(tmp_path / "half", 6.0, 60.0, rate_limit=50)
    assert len(throttled) == pytest.approx(50, abs=2)


def test_while_paused_nothing_starts_and_afterwards_it_goes_on() -> None:
    assert next_start(100.0, Control(paused=True, rate_limit=100), 6.0, False, 1000.0) is None
    assert next_start(None, Control(paused=True, rate_limit=100), 6.0, False, 1000.0) is None
    assert next_start(100.0, Control(paused=False, rate_limit=100), 6.0, False, 1000.0) == pytest.approx(103.9)


def test_a_limit_of_nothing_is_a_stop() -> None:
    assert next_start(100.0, Control(paused=False, rate_limit=0), 6.0, True, 1000.0) == float("inf")


def test_settings_that_people_changed_survive_a_restart(tmp_path: Path) -> None:
    table = LearningTable(tmp_path / "learning.db")
    table.create(100.0)
    with sqlite3.connect(tmp_path / "learning.db") as changed:
        changed.execute("UPDATE control SET value = 1 WHERE name = 'paused'")
    table.create(100.0)
    assert table.control() == Control(paused=True, rate_limit=100.0)


def test_the_manifest_is_true_of_every_document(tmp_path: Path) -> None:
    write_sources(tmp_path)
    documents = read_manifest(tmp_path)
    assert len(documents) == DOCUMENTS
    for document in documents:
        assert hashlib.sha256((tmp_path / document.name).read_bytes()).hexdigest() == document.sha256
