"""Which candidate comes first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from catalog.model import Tier
from catalog.policy import Policy
from remediator.governance.confidence import track_record

ENOUGH_OUTCOMES = 10
"""Verified outcomes that two candidates must both have before experience may change their order."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A playbook that might help, with its verified outcomes so far."""

    playbook_id: str
    tier: Tier
    helped: int = 0
    did_not: int = 0

    @property
    def outcomes(self) -> int:
        return self.helped + self.did_not


def ordered(candidates: Iterable[Candidate], policy: Policy) -> tuple[Candidate, ...]:
    """The candidates as listed, except that one moves before its neighbour where experience says so.

    A candidate passes the one before it only while both have enough outcomes, its own record is better, and its tier
    is not higher. One without enough outcomes is therefore never passed, and stands in the way of those behind it:
    the catalog's order is the authors' judgement, and is given up only where it was really measured.
    """
    line: list[Candidate] = []
    for candidate in candidates:
        place = len(line)
        while place and _passes(candidate, line[place - 1], policy):
            place -= 1
        line.insert(place, candidate)
    return tuple(line)


def _passes(candidate: Candidate, before: Candidate, policy: Policy) -> bool:
    measured = min(candidate.outcomes, before.outcomes) >= ENOUGH_OUTCOMES
    return (
        measured
        and candidate.tier <= before.tier
        and track_record(candidate.helped, candidate.did_not, policy)
        > track_record(before.helped, before.did_not, policy)
    )
