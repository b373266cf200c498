"""What the workload writes for others: processes in an order that can be followed, paths that sockets can take."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from catalog.load import load_catalog
from catalog.model import TimeScale
from demo.faults import read
from demo.layout import layout, make_short, tidy
from demo.workload import Ports, exporter_collectors, inventory, prepare, processes


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    prepare(tmp_path, Ports(), TimeScale(drill=True))
    return tmp_path


def test_every_process_comes_after_others_that_exist(prepared: Path) -> None:
    specs = processes(prepared, Path("/usr/sbin/haproxy"), Ports(), TimeScale(drill=True))
    names = [spec.name for spec in specs]
    assert len(set(names)) == len(names)
    for index, spec in enumerate(specs):
        assert set(spec.after) <= set(names[:index])
    assert {"api-1", "api-2", "balancer", "pool", "ingestion", "load"} <= set(names)


def test_every_metric_that_is_on_is_measured_by_exactly_one_collector(prepared: Path) -> None:
    measured = []
    for collector in exporter_collectors(prepared)["collectors"]:
        measured += collector.get("metric_ids", [])
        for query in collector.get("queries", []):
            measured += query["metric_ids"]
    assert sorted(measured) == sorted(metric.id for metric in load_catalog().enabled)


def test_every_relation_of_the_inventory_names_a_target(prepared: Path) -> None:
    targets = inventory(prepared)["targets"]
    for target in targets.values():
        for relation in ("edge", "standby", "nodes", "reclaim", "analysis"):
            assert target.get(relation, "api") in targets


@pytest.mark.parametrize("left", ['{"cpu": {"since": 1, "sizes": {}}}', "half a fi"])
def test_an_interrupted_drills_fault_is_gone_at_the_next_start(prepared: Path, left: str) -> None:
    place = layout(prepared)
    place.faults.write_text(left)
    (place.run / "api-1.swept").write_text("1")
    prepare(prepared, Ports(), TimeScale(drill=True))
    assert read(place.faults) == {}
    assert list(place.run.iterdir()) == []


def test_a_short_path_is_used_as_it_is(tmp_path: Path) -> None:
    assert make_short(tmp_path).run == tmp_path / "demo" / "run"


def test_a_long_path_gets_a_short_way_in_and_loses_it_again(tmp_path: Path) -> None:
    data = tmp_path / ("a" * 60) / ("b" * 60)
    place = make_short(data)
    assert len(str(place.balancer_socket)) < 80
    assert make_short(data) == place == layout(data)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place.balancer_socket))
    assert (data / "demo" / "run" / "haproxy.sock").exists()
    tidy(data)
    assert not place.run.parent.exists()
    again = make_short(data)
    assert again.run != place.run
    tidy(data)


def test_a_lost_link_is_made_anew(tmp_path: Path) -> None:
    data = tmp_path / ("a" * 60) / ("b" * 60)
    lost = make_short(data).run
    lost.unlink()
    lost.parent.rmdir()
    assert make_short(data).run.resolve() == data / "demo" / "run"
    tidy(data)
