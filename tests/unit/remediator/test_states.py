"""The page about states says what the program does; and no state is a trap, or out of reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remediator.model import INCIDENT_MOVES, RUN_MOVES, IncidentState, RunState
from remediator.pipeline import reference
from remediator.pipeline.life import STAGES


def test_the_committed_page_is_up_to_date() -> None:
    assert reference.HOME.read_text(encoding="utf-8") == reference.render(), (
        "run: python -m remediator.pipeline.reference"
    )


def test_every_move_is_drawn_once() -> None:
    page = reference.render()
    for moves in (INCIDENT_MOVES, RUN_MOVES):
        for state, following in moves.items():
            for each in following:
                assert page.count(f"    {state.value} --> {each.value}\n") == 1


def reached(moves: Mapping[Any, frozenset[Any]], begin: Any) -> set[Any]:
    found, new = set(), {begin}
    while new:
        found |= new
        new = {each for state in new for each in moves[state]} - found
    return found


def test_every_state_is_reached_and_every_incident_can_be_closed() -> None:
    assert reached(INCIDENT_MOVES, IncidentState.OPEN) == set(IncidentState)
    begun = reached(RUN_MOVES, RunState.PLANNED) | reached(RUN_MOVES, RunState.HELD)
    assert begun == set(RunState)
    for state in IncidentState:
        assert IncidentState.CLOSED in reached(INCIDENT_MOVES, state), state
    assert set(STAGES) == set(IncidentState) - {IncidentState.CLOSED}
    for state in RunState:
        assert state.final or any(each.final for each in reached(RUN_MOVES, state)), state
