"""The file of faults: written whole or not at all, read only when it changed."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from demo.faults import SIZES, FaultFile, clear, inject, read


def test_without_a_file_all_is_well(tmp_path: Path) -> None:
    assert read(tmp_path / "faults.json") == {}
    assert FaultFile(tmp_path / "faults.json").get("cpu") is None


def test_a_fault_has_its_fixed_size(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    fault = inject(path, "cpu", 12.0)
    assert (fault.since, fault.word("shard"), fault.number("cpu_seconds")) == (12.0, "api-1", 0.048)
    assert read(path) == {"cpu": fault}


def test_a_fault_can_name_its_worker(tmp_path: Path) -> None:
    assert inject(tmp_path / "faults.json", "stuck-worker", 1.0, worker="worker-7").word("worker") == "worker-7"


def test_an_unknown_fault_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        inject(tmp_path / "faults.json", "meteor", 1.0)
    assert read(tmp_path / "faults.json") == {}


def test_clearing_one_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    inject(path, "cpu", 1.0)
    inject(path, "slow-api", 2.0)
    clear(path, "cpu", "disk-fill")
    assert set(read(path)) == {"slow-api"}
    clear(path)
    assert read(path) == {}


def test_a_process_sees_changes_and_reads_only_then(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    seen = FaultFile(path)
    inject(path, "cpu", 1.0)
    first = seen.active()
    assert set(first) == {"cpu"}
    assert seen.active() is first
    inject(path, "errors", 2.0)
    assert set(seen.active()) == {"cpu", "errors"}
    path.unlink()
    assert seen.active() == {}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"cpu": 1}', '{"cpu": {"since": 1}}', '{"cpu": {"since": "x", "sizes": {}}}']
)
def test_what_is_no_file_of_faults_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text)
    with pytest.raises(ValueError):
        read(path)


def _inject_all(path: str, name: str) -> None:
    for moment in range(50):
        inject(Path(path), name, float(moment))


def test_two_writers_lose_nothing_and_a_reader_never_sees_half(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    inject(path, "cpu", 0.0)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_inject_all, args=(str(path), name)) for name in ("errors", "slow-api")]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert "cpu" in json.loads(path.read_text())
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert set(read(path)) == {"cpu", "errors", "slow-api"}
    assert set(read(path)) <= set(SIZES)
