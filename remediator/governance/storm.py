"""When there is a storm: many groups in trouble at once, so that Grace's own changes could be part of it."""

from __future__ import annotations

from dataclasses import dataclass

from catalog.policy import Storm


@dataclass(frozen=True, slots=True)
class StormState:
    """Kept between two looks."""

    active: bool = False
    calm_since: float | None = None
    """Since when few enough groups are in trouble (epoch seconds); only during a storm."""


def fold(state: StormState, groups_now: int, now: float, storm: Storm) -> StormState:
    """The state after seeing confirmed incidents on `groups_now` distinct groups at `now`.

    A storm begins at `enter_groups` and ends when fewer than `leave_below` groups were seen at every look for
    `leave_after` seconds.
    """
    if groups_now >= storm.enter_groups:
        return StormState(active=True)
    if not state.active:
        return StormState()
    if groups_now >= storm.leave_below:
        return StormState(active=True)
    if state.calm_since is None or state.calm_since > now:  # the clock went back: count anew
        return StormState(active=True, calm_since=now)
    if now - state.calm_since >= storm.leave_after:
        return StormState()
    return state
