"""A peer that keeps failing is told to wait; memory stays bounded."""

from __future__ import annotations

from typing import Any

from remediator.auth.throttle import Throttle


def test_a_burst_then_one_every_so_often(clock: Any) -> None:
    throttle = Throttle(clock, burst=3, every=10.0)
    assert [throttle.fail("a") for _ in range(5)] == [0, 0, 0, 10, 10]
    assert throttle.fail("b") == 0
    clock.time += 4
    assert throttle.fail("a") == 6
    clock.time += 6
    assert throttle.fail("a") == 0
    assert throttle.fail("a") == 10


def test_all_is_forgiven_in_time(clock: Any) -> None:
    throttle = Throttle(clock, burst=2, every=5.0)
    for _ in range(10):
        throttle.fail("a")
    clock.time += 10
    assert [throttle.fail("a") for _ in range(3)] == [0, 0, 5]


def test_only_so_many_peers_are_remembered(clock: Any) -> None:
    throttle = Throttle(clock, burst=1, every=60.0, peers=100)
    throttle.fail("first")
    for number in range(10_000):
        throttle.fail(f"peer {number}")
    assert len(throttle._forgiven) == 100
    assert throttle.fail("peer 9999") > 0
    assert throttle.fail("first") == 0
