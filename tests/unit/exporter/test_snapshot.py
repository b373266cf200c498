import zlib
from typing import Any

import pytest

from exporter.collectors.base import Pace, Probe
from exporter.exposition import Format
from exporter.families import Measured, Reading, Sample, family, labels_of
from exporter.snapshot import Prepared, Snapshot, prepare

ONE, TWO = ("hosts", "host a"), ("hosts", "host b")


async def never() -> Reading:
    raise AssertionError


def reading(at: float, resource: str = "a", value: float = 0.5) -> Prepared:
    gauge = family("grace_host_cpu_utilization_ratio", [Sample(labels_of({"resource": resource}), value)])
    return prepare(Reading((gauge,), frozenset({Measured("infra.cpu_utilization", resource)})), 10, at)


@pytest.fixture
def probe(pace: Pace) -> Probe:
    return Probe("host a", pace, never)


@pytest.fixture
def snapshot(clock: Any, probe: Probe) -> Snapshot:
    found = Snapshot(clock, 10)
    found.expect([(ONE, probe), (TWO, probe)])
    return found


def lines(snapshot: Snapshot, **query: Any) -> dict[str, float]:
    text = snapshot.body(Format.TEXT, **query).content.decode()
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {key: float(value) for key, value in pairs}


def test_a_value_is_kept_through_a_failure_and_withdrawn_when_it_is_too_old(
    snapshot: Snapshot, probe: Probe, clock: Any
) -> None:
    begun = clock.now
    snapshot.succeeded(ONE, probe, reading(begun), 0.1)
    clock.now += 59
    snapshot.failed(ONE, "gone", 0.2)
    value, time = (
        'grace_host_cpu_utilization_ratio{resource="a"}',
        'grace_sample_timestamp_seconds{metric_id="infra.cpu_utilization",resource="a"}',
    )
    found = lines(snapshot)
    assert (found[value], found[time]) == (0.5, begun)
    assert found['grace_collector_success{collector="hosts"}'] == 0
    clock.now += 1
    assert not {value, time} & lines(snapshot).keys()


def test_the_time_of_a_measurement_is_there_also_when_it_was_idle(snapshot: Snapshot, probe: Probe, clock: Any) -> None:
    idle = prepare(Reading((), frozenset({Measured("autonomy.rollback_rate", "grace")})), 10, clock.now)
    snapshot.succeeded(ONE, probe, idle, 0.1)
    key = 'grace_sample_timestamp_seconds{metric_id="autonomy.rollback_rate",resource="grace"}'
    assert lines(snapshot)[key] == clock.now


def test_a_collector_is_as_well_as_its_worst_probe(snapshot: Snapshot, probe: Probe, clock: Any) -> None:
    success, last = (
        'grace_collector_success{collector="hosts"}',
        'grace_collector_last_success_timestamp_seconds{collector="hosts"}',
    )
    assert not {success, last} & lines(snapshot).keys()
    assert not snapshot.ready
    snapshot.succeeded(ONE, probe, reading(clock.now), 0.1)
    assert lines(snapshot)[success] == 1
    assert last not in lines(snapshot)
    snapshot.succeeded(TWO, probe, reading(clock.now - 5, "b"), 0.3)
    found = lines(snapshot)
    assert found[last] == clock.now - 5
    assert found['grace_collector_duration_seconds{collector="hosts"}'] == 0.3
    assert snapshot.ready
    snapshot.failed(TWO, "gone", 0.1)
    assert lines(snapshot)[success] == 0
    assert snapshot.ready
    snapshot.failed(ONE, "gone", 0.1)
    assert not snapshot.ready


def test_failure_and_recovery_are_news_once(snapshot: Snapshot, probe: Probe, clock: Any) -> None:
    assert snapshot.failed(ONE, "gone", 0.1)
    assert not snapshot.failed(ONE, "gone", 0.1)
    assert snapshot.succeeded(ONE, probe, reading(clock.now), 0.1)
    assert not snapshot.succeeded(ONE, probe, reading(clock.now), 0.1)


def test_what_is_over_the_cap_is_counted(snapshot: Snapshot, probe: Probe, clock: Any) -> None:
    many = family("grace_host_cpu_utilization_ratio", [Sample(labels_of({"resource": str(n)}), n) for n in range(25)])
    snapshot.succeeded(ONE, probe, prepare(Reading((many,)), 10, clock.now), 0.1)
    snapshot.succeeded(ONE, probe, prepare(Reading((many,), dropped=2), 10, clock.now), 0.1)
    assert lines(snapshot)['grace_collector_series_dropped_total{collector="hosts"}'] == 32


def test_it_is_rendered_once_until_something_changes(snapshot: Snapshot, probe: Probe, clock: Any) -> None:
    snapshot.succeeded(ONE, probe, reading(clock.now), 0.1)
    body = snapshot.body(Format.TEXT)
    clock.now += 30
    assert snapshot.body(Format.TEXT) is body
    assert snapshot.body(Format.OPENMETRICS) is not body
    snapshot.succeeded(ONE, probe, reading(clock.now, value=0.6), 0.1)
    assert snapshot.body(Format.TEXT) is not body


def test_only_the_collectors_that_were_asked_for(snapshot: Snapshot, probe: Probe, clock: Any) -> None:
    snapshot.expect([(ONE, probe), (("other", "x"), probe)])
    snapshot.succeeded(ONE, probe, reading(clock.now), 0.1)
    snapshot.succeeded(("other", "x"), probe, reading(clock.now, "x"), 0.1)
    found = lines(snapshot, only=["other"])
    assert 'grace_host_cpu_utilization_ratio{resource="x"}' in found
    assert not [key for key in found if "hosts" in key or 'resource="a"' in key]


def test_a_probe_that_is_no_longer_expected_is_forgotten(snapshot: Snapshot, probe: Probe, clock: Any) -> None:
    snapshot.succeeded(ONE, probe, reading(clock.now), 0.1)
    snapshot.expect([(TWO, probe)])
    assert 'grace_host_cpu_utilization_ratio{resource="a"}' not in lines(snapshot)


def test_of_two_that_measure_the_same_the_newer_time_counts(snapshot: Snapshot, probe: Probe, clock: Any) -> None:
    measured = frozenset({Measured("api.request_rate", "api"), Measured("api.request_rate", "other")})
    snapshot.succeeded(ONE, probe, prepare(Reading((), measured), 10, clock.now), 0.1)
    snapshot.succeeded(TWO, probe, prepare(Reading((), measured), 10, clock.now - 5), 0.1)
    key = 'grace_sample_timestamp_seconds{metric_id="api.request_rate",resource="api"}'
    assert lines(snapshot)[key] == clock.now
    snapshot.succeeded(TWO, probe, prepare(Reading((), measured), 10, clock.now + 5), 0.1)
    assert lines(snapshot)[key] == clock.now + 5
    assert len([each for each in lines(snapshot) if each.startswith("grace_sample_timestamp_seconds")]) == 2


def test_what_the_cap_hides_is_not_said_to_be_idle(snapshot: Snapshot, probe: Probe, clock: Any) -> None:
    names = [f"host-{number}" for number in range(12)]
    many = family("grace_host_cpu_utilization_ratio", [Sample(labels_of({"resource": each}), 0.5) for each in names])
    measured = frozenset(Measured("infra.cpu_utilization", each) for each in [*names, "idle"])
    snapshot.succeeded(ONE, probe, prepare(Reading((many,), measured), 10, clock.now), 0.1)
    found = "".join(lines(snapshot))
    assert found.count("grace_host_cpu_utilization_ratio") == 10
    for name, times in (("host-9", 2), ("host-10", 0), ("idle", 1)):
        assert found.count(f'resource="{name}"') == times


def test_many_series_of_many_probes_are_one_gzip(snapshot: Snapshot, probe: Probe, clock: Any) -> None:
    for key, begin in ((ONE, 0), (TWO, 1000)):
        rows = [Sample(labels_of({"resource": f"host-{begin + number}"}), number) for number in range(1000)]
        many = prepare(Reading((family("grace_host_cpu_utilization_ratio", rows),)), 1000, clock.now)
        assert many.families[0].packed
        snapshot.succeeded(key, probe, many, 0.1)
    body = snapshot.body(Format.TEXT)
    assert body.content.count(b"\ngrace_host_cpu_utilization_ratio{") == 2000
    # One member of one stream: what follows the first end would be left over here.
    reader = zlib.decompressobj(wbits=31)
    assert reader.decompress(body.gzipped(b"tail")) == body.content + b"tail"
    assert reader.eof
    assert not reader.unused_data
