"""Many people vote on one plan at once: the database settles it, once and for all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from catalog.model import Tier
from remediator.errors import Refused
from remediator.ledger import approvals
from remediator.ledger.engine import Ledger, Tx
from tests.contract.ledger.conftest import Opening
from tests.contract.ledger.test_contract import rows


def ask(needed: int) -> Any:
    def store(tx: Tx) -> str:
        return approvals.ask(
            tx,
            run_id="run_1",
            incident_id=None,
            digest="d",
            policy="p",
            tier=Tier.TIER_2,
            needed=needed,
            expires_at=tx.now + 60,
        )

    return store


async def cast(ledger: Ledger, approval_id: str, name: str, vote: str) -> str:
    """The status that this vote led to, or why it did not count."""
    try:
        found = await ledger.write(lambda tx: approvals.vote(tx, approval_id, name=name, vote=vote, reason="so"))
    except Refused as refusal:
        return refusal.reason
    return found.status


async def replicas(engine: str, opening: Opening) -> list[Ledger]:
    return [await opening()] if engine == "sqlite" else [await opening(), await opening()]


@pytest.mark.parametrize("turn", range(5))
async def test_of_approve_and_reject_at_once_exactly_one_counts(engine: str, opening: Opening, turn: int) -> None:
    ledgers = await replicas(engine, opening)
    asked = await ledgers[0].write(ask(1))
    words = ["approve", "reject"] * 8
    answers = await asyncio.gather(
        *(cast(ledgers[place % len(ledgers)], asked, f"p{place}", word) for place, word in enumerate(words))
    )
    won = [answer for answer in answers if answer in ("approved", "rejected")]
    assert len(won) == 1
    assert answers.count("settled") == 15
    found = await ledgers[-1].read(lambda connection: approvals.get(connection, asked))
    assert found is not None
    assert found.status == won[0]
    kinds = [row[2] for row in await rows(ledgers[0])]
    assert (kinds.count("approval_vote"), kinds.count(f"approval_{won[0]}")) == (1, 1)


async def test_one_person_counts_once_however_fast(engine: str, opening: Opening) -> None:
    ledgers = await replicas(engine, opening)
    asked = await ledgers[0].write(ask(1))
    answers = await asyncio.gather(
        *(cast(ledgers[place % len(ledgers)], asked, "ann", "approve") for place in range(8))
    )
    assert sorted(answers) == ["approved", *["settled"] * 7]


async def test_what_was_voided_counts_no_more_votes_and_what_was_given_can_be_voided(ledger: Ledger) -> None:
    first, second = await ledger.write(ask(1)), await ledger.write(ask(1))
    assert await cast(ledger, first, "ann", "approve") == "approved"

    def void(tx: Tx) -> None:
        for each in (first, second):
            found = approvals.get(tx.connection, each)
            assert found is not None
            approvals.void(tx, found, "another world")
            approvals.void(tx, found, "twice")

    await ledger.write(void)
    assert await cast(ledger, second, "ann", "approve") == "settled"
    for each in (first, second):
        found = await ledger.read(lambda connection, each=each: approvals.get(connection, each))
        assert found is not None
        assert (found.status, found.reason, found.policy) == ("void", "another world", "p")
    assert [row[2] for row in await rows(ledger)].count("approval_void") == 2
