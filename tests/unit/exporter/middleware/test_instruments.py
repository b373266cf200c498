import pytest
from prometheus_client import CollectorRegistry

from exporter.middleware.instruments import DURATION_BOUNDS, BusyClock, request_started, tracker_for

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("t=1699999999.5", NOW - 0.5),
        ("1699999999.5", NOW - 0.5),
        ("t=1699999999500", NOW - 0.5),
        ("t=1699999999500000", NOW - 0.5),
        (" t=1700000000 ", NOW),
    ],
)
def test_a_balancer_may_write_seconds_milliseconds_or_microseconds(header: str, expected: float) -> None:
    assert request_started(header, NOW) == pytest.approx(expected)


@pytest.mark.parametrize("header", [None, "", "t=", "t=soon", "t=nan", "t=inf", "t=-5", "t=1700000001", "t=1600000000"])
def test_a_start_that_is_not_credible_is_not_believed(header: str | None) -> None:
    assert request_started(header, NOW) is None


def test_every_latency_edge_of_the_catalog_is_a_bound() -> None:
    assert {0.35, 0.5} <= set(DURATION_BOUNDS)
    assert list(DURATION_BOUNDS) == sorted(DURATION_BOUNDS)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_busy_second_counts_once_however_many_requests_run() -> None:
    clock, added = Clock(), []
    busy = BusyClock(added.append, clock)
    busy.enter()
    clock.now = 101.0
    busy.enter()
    clock.now = 103.0
    busy.leave()
    clock.now = 104.0
    busy.leave()
    clock.now = 200.0
    busy.enter()
    clock.now = 200.5
    busy.leave()
    assert sum(added) == pytest.approx(4.5)


def test_a_long_request_is_counted_while_it_runs() -> None:
    clock, added = Clock(), []
    busy = BusyClock(added.append, clock)
    busy.enter()
    clock.now = 130.0
    busy.flush()
    assert sum(added) == pytest.approx(30.0)
    busy.leave()
    clock.now = 140.0
    busy.flush()
    assert sum(added) == pytest.approx(30.0)


def test_one_registry_has_one_tracker_and_an_unknown_method_is_other() -> None:
    registry = CollectorRegistry()
    tracker = tracker_for(registry)
    assert tracker_for(registry) is tracker
    tracker.begin()
    assert registry.get_sample_value("grace_http_requests_in_progress") == 1
    tracker.end("BREW", "/tea/{pot}", 418, 0.2)
    labels = {"method": "other", "route": "/tea/{pot}"}
    assert registry.get_sample_value("grace_http_requests_total", {**labels, "code": "418"}) == 1
    assert registry.get_sample_value("grace_http_request_duration_seconds_sum", labels) == pytest.approx(0.2)
    assert registry.get_sample_value("grace_http_requests_in_progress") == 0
    assert registry.get_sample_value("grace_http_workers") == 1
