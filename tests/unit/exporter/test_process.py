"""What the exporter says of its own process, beside what the kernel says."""

import os

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.exposition import Format
from exporter.process import OwnMetrics, Reloads


def said() -> dict[str, float]:
    text = OwnMetrics(Reloads()).tail(Format.TEXT).decode()
    return {sample.name: sample.value for each in parse_text(text) for sample in each.samples}


def test_a_process_is_what_the_kernel_says_of_it() -> None:
    process, values = psutil.Process(), said()
    memory, times = process.memory_info(), process.cpu_times()
    assert values["process_resident_memory_bytes"] == pytest.approx(memory.rss, rel=0.05)
    assert values["process_virtual_memory_bytes"] == pytest.approx(memory.vms, rel=0.05)
    assert values["process_cpu_seconds_total"] == pytest.approx(times.user + times.system, abs=0.5)
    assert values["process_start_time_seconds"] == pytest.approx(process.create_time(), abs=1.1)
    assert values["process_max_fds"] == process.rlimit(psutil.RLIMIT_NOFILE)[0]


def test_open_files_are_counted() -> None:
    before = said()["process_open_fds"]
    assert before == pytest.approx(psutil.Process().num_fds(), abs=1)
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    try:
        assert said()["process_open_fds"] == before + 20
    finally:
        for each in files:
            os.close(each)
