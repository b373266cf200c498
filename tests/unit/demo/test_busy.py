"""The busy share: between 0 and 1, exact over the window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.busy import BusyShare


def test_idle_is_zero_and_always_busy_is_one() -> None:
    idle = BusyShare(2.0, 0.0)
    assert idle.share(0.0) == 0.0
    assert idle.share(10.0) == 0.0
    busy = BusyShare(2.0, 0.0)
    busy.begin(0.0)
    assert busy.share(10.0) == 1.0


def test_only_the_window_counts() -> None:
    share = BusyShare(2.0, 0.0)
    share.begin(1.0)
    share.end(9.0)
    assert share.share(10.0) == pytest.approx(0.5)
    assert share.share(11.0) == 0.0


def test_a_young_worker_is_measured_since_its_start() -> None:
    share = BusyShare(2.0, 10.0)
    share.begin(10.25)
    assert share.share(10.5) == pytest.approx(0.5)


@given(st.lists(st.floats(0.001, 3.0), max_size=40), st.floats(0.0, 5.0))
def test_it_is_always_a_share(lengths: list[float], after: float) -> None:
    share, now = BusyShare(2.0, 0.0), 0.0
    for index, length in enumerate(lengths):
        (share.begin if index % 2 == 0 else share.end)(now)
        now += length
    assert 0.0 <= share.share(now + after) <= 1.0
