"""The demo volume: its usual use, a fill that comes once, and a pid file swept away and put back."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.archive import QUOTA, Archive, write_volume
from demo.faults import FaultFile, clear, inject


def used(volume: Path) -> float:
    return sum(path.stat().st_size for path in volume.rglob("*") if path.is_file()) / QUOTA


@pytest.fixture
def faults(tmp_path: Path) -> Path:
    return tmp_path / "faults.json"


@pytest.fixture
def archive(tmp_path: Path, faults: Path) -> Archive:
    write_volume(tmp_path / "volume")
    (tmp_path / "run").mkdir()
    return Archive(tmp_path / "volume", tmp_path / "run", FaultFile(faults), 0.0)


def test_a_new_volume_is_a_third_full_and_stays_so(tmp_path: Path, archive: Archive) -> None:
    for moment in range(200):
        archive.tick(float(moment))
    assert used(tmp_path / "volume") == pytest.approx(0.3, abs=0.01)
    write_volume(tmp_path / "volume")
    assert used(tmp_path / "volume") == pytest.approx(0.3, abs=0.01)


def test_a_fill_is_critical_comes_once_and_goes_with_the_fault(tmp_path: Path, archive: Archive, faults: Path) -> None:
    volume = tmp_path / "volume"
    inject(faults, "disk-fill", 1.0)
    archive.tick(1.0)
    assert used(volume) > 0.9
    for expired in (volume / "expired").iterdir():
        expired.unlink()
    archive.tick(2.0)
    Archive(volume, tmp_path / "run", FaultFile(faults), 2.0).tick(2.0)
    assert used(volume) == pytest.approx(0.2, abs=0.01)
    clear(faults)
    archive.tick(3.0)
    inject(faults, "disk-fill", 4.0)
    archive.tick(4.0)
    assert used(volume) > 0.8
    clear(faults)
    archive.tick(5.0)
    assert used(volume) == pytest.approx(0.2, abs=0.01)


def test_a_cleaned_volume_gets_no_old_records_at_the_next_start(tmp_path: Path, archive: Archive) -> None:
    for expired in (tmp_path / "volume" / "expired").iterdir():
        expired.unlink()
    write_volume(tmp_path / "volume")
    assert list((tmp_path / "volume" / "expired").iterdir()) == []


def test_a_blackout_sweeps_a_pid_file_and_puts_it_back(tmp_path: Path, archive: Archive, faults: Path) -> None:
    pidfile = tmp_path / "run" / "api-1.pid"
    pidfile.write_text("123")
    inject(faults, "collector-blackout", 1.0)
    archive.tick(1.0)
    archive.tick(2.0)
    assert not pidfile.exists()
    clear(faults)
    archive.tick(3.0)
    assert pidfile.read_text() == "123"


def test_a_master_that_was_started_anew_keeps_its_own_pid_file(tmp_path: Path, archive: Archive, faults: Path) -> None:
    pidfile = tmp_path / "run" / "api-1.pid"
    pidfile.write_text("123")
    inject(faults, "collector-blackout", 1.0)
    archive.tick(1.0)
    clear(faults)
    pidfile.write_text("456")
    archive.tick(3.0)
    assert pidfile.read_text() == "456"
    assert list((tmp_path / "run").iterdir()) == [pidfile]
