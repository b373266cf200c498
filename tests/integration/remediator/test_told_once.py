"""Two replicas with a data folder each, on one PostgreSQL: people hear of an occasion from one of them."""

from __future__ import annotations

from pathlib import Path

from remediator.clock import SystemClock
from remediator.ledger.engine import Ledger
from remediator.pipeline import people
from tests.contract.ledger.cluster import cluster
from tests.unit.remediator.simulation import simulation


async def test_what_one_replica_told_the_other_does_not_tell_again(tmp_path: Path) -> None:
    with cluster() as server:
        url = server.database()
        async with simulation(folder=tmp_path / "a") as one, simulation(folder=tmp_path / "b") as other:
            own = one.parts.ledger, other.parts.ledger
            one.parts.ledger, other.parts.ledger = [await Ledger.open(url, SystemClock()) for _ in range(2)]
            try:
                for number in range(4):
                    first, second = (one, other) if number % 2 else (other, one)
                    assert await people.tell(first.parts, f"inc_{number}:escalated", "look") is True
                    assert await people.tell(second.parts, f"inc_{number}:escalated", "look") is False
                    assert await people.tell(first.parts, f"inc_{number}:escalated", "look") is False
            finally:
                for each in (one, other):
                    await each.parts.ledger.close()
                one.parts.ledger, other.parts.ledger = own
        books = [(tmp_path / name / "notifications.log").read_text().splitlines() for name in "ab"]
        assert [len(book) for book in books] == [2, 2], "four occasions, four lines"
