"""Every test of this folder runs on both engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from remediator.clock import SystemClock
from remediator.ledger.engine import Ledger
from tests.contract.ledger.cluster import Cluster, cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """One cluster for all tests that do not stop it."""
    with cluster() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    """The engine's name."""
    name: str = request.param
    return name


@pytest.fixture
def place(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a new ledger may be opened."""
    if engine == "sqlite":
        return tmp_path / "ledger.db"
    made: Cluster = request.getfixturevalue("postgres")
    return made.database()


Opening = Callable[[], Awaitable[Ledger]]


@pytest.fixture
async def opening(place: Path | str) -> AsyncIterator[Opening]:
    """Opens the ledger (again); whatever is open is closed at the end."""
    opened: list[Ledger] = []

    async def one() -> Ledger:
        opened.append(await Ledger.open(place, SystemClock()))
        return opened[-1]

    yield one
    for each in opened:
        await each.close()


@pytest.fixture
async def ledger(opening: Opening) -> Ledger:
    return await opening()
