import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from exporter.collectors.base import CollectError
from exporter.collectors.multiprocess import (
    MIDDLEWARE_SERIES,
    Directory,
    MultiprocessCollector,
    MultiprocessConfig,
    WorkerFile,
    Workers,
    read_values,
)
from exporter.families import Kind, labels_of

REQUESTS = "grace_http_requests"
DURATION = "grace_http_request_duration_seconds"


class Worker:
    """What one worker process has written, by prometheus-client's own hand."""

    def __init__(self, directory: Path, pid: int) -> None:
        self.directory, self.pid = directory, pid

    def put(self, prefix: str, family: str, name: str, value: float, at: float = 0.0, **labels: str) -> None:
        file = MmapedDict(str(self.directory / f"{prefix}_{self.pid}.db"))
        file.write_value(mmap_key(family, name, list(labels), list(labels.values()), "Help."), value, at)
        file.close()

    def requests(self, count: float, code: str = "200") -> None:
        self.put("counter", REQUESTS, f"{REQUESTS}_total", count, code=code)

    def alive(self) -> None:
        self.put("gauge_livesum", "grace_http_workers", "grace_http_workers", 1)


class TheseLive(Workers):
    def __init__(self, *pids: int) -> None:
        self.pids = set(pids)

    def living(self, files: Iterable[WorkerFile]) -> frozenset[int]:
        return frozenset(file.pid for file in files if file.pid in self.pids)


def directory(path: Path, workers: Workers) -> Directory:
    return Directory(path, MIDDLEWARE_SERIES, labels_of({"resource": "api", "shard": "a"}), workers)


def read(directory: Directory) -> dict[str, float]:
    found = {}
    for family in directory.read():
        for sample in family.samples:
            own = [f"{name}={value}" for name, value in sample.labels if name not in ("resource", "shard")]
            assert ("resource", "api") in sample.labels
            found[f"{family.name}{sample.suffix}{{{','.join(own)}}}"] = sample.value
    return found


def test_a_dead_workers_counts_stay_and_its_gauges_go(tmp_path: Path) -> None:
    one, two, living = Worker(tmp_path, 101), Worker(tmp_path, 102), TheseLive(101, 102)
    for worker in (one, two):
        worker.requests(5)
        worker.alive()
    shard = directory(tmp_path, living)
    assert read(shard) == {"grace_http_requests_total{code=200}": 10, "grace_http_workers{}": 2}
    one.requests(7)
    living.pids.remove(101)
    assert read(shard) == {"grace_http_requests_total{code=200}": 12, "grace_http_workers{}": 1}
    assert not (tmp_path / "gauge_livesum_101.db").exists()
    assert (tmp_path / "counter_101.db").exists()


def test_a_dead_workers_file_is_read_a_last_time_and_then_remembered(tmp_path: Path) -> None:
    one, two, living = Worker(tmp_path, 101), Worker(tmp_path, 102), TheseLive(102)
    one.requests(5)
    two.requests(1)
    shard = directory(tmp_path, living)
    assert read(shard)["grace_http_requests_total{code=200}"] == 6
    one.requests(500)
    assert read(shard)["grace_http_requests_total{code=200}"] == 6
    living.pids.add(101)
    assert read(shard)["grace_http_requests_total{code=200}"] == 501


def test_histograms_are_summed_and_accumulated_in_the_order_of_their_bounds(tmp_path: Path) -> None:
    for pid, counts in ((101, {"0.1": 3, "0.5": 1, "+Inf": 1}), (102, {"0.1": 2, "0.5": 0, "+Inf": 0})):
        worker = Worker(tmp_path, pid)
        for bound, count in reversed(counts.items()):
            worker.put("histogram", DURATION, f"{DURATION}_bucket", count, route="/", le=bound)
        worker.put("histogram", DURATION, f"{DURATION}_sum", 1.5, route="/")
    assert list(read(directory(tmp_path, TheseLive(101, 102))).items()) == [
        (f"{DURATION}_bucket{{le=0.1,route=/}}", 5),
        (f"{DURATION}_bucket{{le=0.5,route=/}}", 6),
        (f"{DURATION}_bucket{{le=+Inf,route=/}}", 7),
        (f"{DURATION}_count{{route=/}}", 7),
        (f"{DURATION}_sum{{route=/}}", 3),
    ]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("livesum", {"": 7.0}),
        ("min", {"": 3.0}),
        ("livemax", {"": 4.0}),
        ("mostrecent", {"": 3.0}),
        ("liveall", {"pid=101": 3.0, "pid=102": 4.0}),
    ],
)
def test_gauges_merge_as_their_mode_says(tmp_path: Path, mode: str, expected: dict[str, float]) -> None:
    name = "grace_http_requests_in_progress"
    Worker(tmp_path, 101).put(f"gauge_{mode}", name, name, 3, at=20.0)
    Worker(tmp_path, 102).put(f"gauge_{mode}", name, name, 4, at=10.0)
    found = read(directory(tmp_path, TheseLive(101, 102)))
    assert found == {f"{name}{{{labels}}}": value for labels, value in expected.items()}


def test_where_no_worker_lives_there_is_nothing_rather_than_an_idle_service(tmp_path: Path) -> None:
    Worker(tmp_path, 101).requests(5)
    with pytest.raises(CollectError, match="no live worker"):
        directory(tmp_path, TheseLive()).read()
    with pytest.raises(CollectError, match="No such file"):
        directory(tmp_path / "gone", TheseLive()).read()


def test_a_services_own_series_and_other_files_are_left_alone(tmp_path: Path) -> None:
    worker = Worker(tmp_path, 101)
    worker.requests(1)
    worker.put("counter", "shop_orders", "shop_orders_total", 9)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "counter_102.db").touch()
    assert read(directory(tmp_path, TheseLive(101, 102))) == {"grace_http_requests_total{code=200}": 1}


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("ii", 1 << 20, 0) + b"\0" * 64,
        struct.pack("ii", -8, 0) + b"\0" * 64,
        struct.pack("iii", 64, 0, -40) + b"\0" * 64,
        struct.pack("iii", 64, 0, 4000) + b"\0" * 64,
        struct.pack("iii", 40, 0, 12) + b"{not json   " + b"\0" * 64,
    ],
)
def test_a_damaged_file_is_named_and_never_read_in_circles(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "counter_101.db").write_bytes(content)
    with pytest.raises(CollectError, match=r"counter_101\.db is damaged"):
        directory(tmp_path, TheseLive(101)).read()


def test_the_file_is_read_as_prometheus_client_reads_it(tmp_path: Path) -> None:
    worker = Worker(tmp_path, 101)
    for number in range(200):
        worker.put("counter", REQUESTS, f"{REQUESTS}_total", number, route="/ü" * number, code=str(number))
    path = tmp_path / "counter_101.db"
    expected = [(key, value, at) for key, value, at, _ in MmapedDict.read_all_values_from_file(str(path))]
    assert [(key.decode().rstrip(), value, at) for key, value, at in read_values(path)] == [
        (key.rstrip(), value, at) for key, value, at in expected
    ]


def test_only_a_process_that_holds_the_file_is_its_worker(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        f"os.environ['PROMETHEUS_MULTIPROC_DIR'] = {str(tmp_path)!r}\n"
        "from prometheus_client import Counter\n"
        "Counter('grace_http_requests_total', 'Help.').inc(3)\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdout.readline()
        # Our own id stands for one that was used again by somebody else.
        Worker(tmp_path, os.getpid()).requests(100)
        files = [WorkerFile(path, Kind.COUNTER, "", int(path.stem.split("_")[1])) for path in tmp_path.glob("*.db")]
        workers = Workers()
        assert workers.living(files) == {worker.pid}
        worker.stdin.close()
        worker.wait()
        assert workers.living(files) == frozenset()


def config(**changed: Any) -> MultiprocessConfig:
    written = {
        "name": "shards",
        "collector": "multiprocess",
        "resource": "api",
        "metric_ids": ["api.latency_p95"],
        "directories": [{"path": "/a", "labels": {"shard": "a"}}],
    }
    return MultiprocessConfig.model_validate({**written, **changed})


def test_counters_are_read_as_often_as_prometheus_scrapes(setting: Any) -> None:
    (probe,) = MultiprocessCollector(config(), setting).probes
    assert (probe.pace.interval, probe.pace.max_age) == (15.0, 30.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"directories": [{"path": "/a"}, {"path": "/b"}]}, "different labels"),
        ({"directories": [{"path": "/a", "labels": {"resource": "x"}}]}, "cannot be the name"),
        ({"metric_ids": ["api.latency_p59"]}, r'did you mean "api\.latency_p95"'),
        ({"metric_ids": []}, "metric_ids"),
    ],
)
def test_what_does_not_fit_is_said(catalog: Any, changed: dict[str, Any], message: str) -> None:
    said = "; ".join(text for _, text in config(**changed).faults(catalog))
    assert re.search(message, said)
