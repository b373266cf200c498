from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from exporter.collectors.base import CollectError, Setting
from exporter.collectors.host import CPU, MEMORY, HostConfig, Machine, PsutilCollector, PsutilConfig, TreeHost
from exporter.collectors.process_tree import ProcessTimes, TreeTimes
from exporter.families import Family


class Tree:
    """Answers with the readings it was given, one after the other."""

    def __init__(self, *readings: TreeTimes) -> None:
        self.readings = list(readings)

    def __call__(self, root: int, known: Iterable[ProcessTimes]) -> TreeTimes:
        return self.readings.pop(0)


def at(seconds: float, used: float, *, root: int = 2**22 + 5, started: float = 1.0) -> TreeTimes:
    return TreeTimes(root, seconds, {root: ProcessTimes(root, 1, started, used, 0.0)})


def host(tmp_path: Path, tree: Tree, cores: float = 0.5) -> TreeHost:
    pidfile = tmp_path / "api.pid"
    pidfile.write_text("7")
    return TreeHost(HostConfig(resource="api-1", pidfile=pidfile, cores=cores, memory_bytes=1000), tree)


def share(read: dict[str, Family | None]) -> float | None:
    family = read[CPU]
    return None if family is None else family.samples[0].value


def test_cpu_is_what_was_used_out_of_what_the_cores_give(tmp_path: Path) -> None:
    found = host(tmp_path, Tree(at(100, 5), at(110, 7.5), at(130, 17.5)))
    assert [share(found.read()) for _ in range(3)] == [None, 0.5, 1.0]


def test_after_it_was_gone_a_host_begins_anew(tmp_path: Path) -> None:
    found = host(tmp_path, Tree(at(100, 5), at(200, 9)))
    found.read()
    (tmp_path / "api.pid").unlink()
    with pytest.raises(CollectError):
        found.read()
    (tmp_path / "api.pid").write_text("7")
    assert share(found.read()) is None


def test_this_machine_has_memory_at_once_and_cpu_from_the_second_reading() -> None:
    machine = Machine("here")
    first = machine.read()
    assert share(first) is None
    memory = first[MEMORY]
    assert memory is not None
    assert 0 < memory.samples[0].value < 1
    sum(range(2_000_000))
    second = share(machine.read())
    assert second is not None
    assert 0 <= second <= 1


def config(**changed: Any) -> PsutilConfig:
    written = {"name": "hosts", "collector": "psutil", "metric_ids": [CPU, MEMORY, "infra.disk_usage"]}
    return PsutilConfig.model_validate({**written, **changed})


async def test_each_host_and_volume_is_measured_by_itself_at_its_metrics_interval(
    setting: Setting, tmp_path: Path, values: Any
) -> None:
    volumes = [{"resource": "data", "path": str(tmp_path), "quota_bytes": 100}, {"resource": "root", "path": "/"}]
    (tmp_path / "a").write_bytes(b"x" * 40)
    probes = PsutilCollector(config(volumes=volumes), setting, hostname="here").probes
    assert [(probe.name, probe.pace.interval) for probe in probes] == [
        ("host here", 30.0),
        ("volume data", 300.0),
        ("volume root", 300.0),
    ]
    assert values(await probes[1].collect()) == {"grace_volume_usage_ratio{resource=data}": 0.4}
    assert set(values(await probes[0].collect())) == {"grace_host_memory_utilization_ratio{resource=here}"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({}, '"volumes" is missing'),
        ({"metric_ids": ["executor.queue_depth"]}, "psutil measures"),
        ({"metric_ids": [CPU], "volumes": [{"resource": "a", "path": "/"}] * 2}, "also the resource of volumes"),
    ],
)
def test_what_does_not_fit_is_said(catalog: Any, changed: dict[str, Any], message: str) -> None:
    assert message in "; ".join(text for _, text in config(**changed).faults(catalog))
