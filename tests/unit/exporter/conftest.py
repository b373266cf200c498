from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from catalog.load import load_catalog
from catalog.model import Catalog
from exporter.collectors.base import Pace, Setting
from exporter.families import Family, Reading


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture
def setting(catalog: Catalog) -> Setting:
    return Setting(catalog, 15.0)


class Clock:
    """Wall time that stands still until it is moved."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace() -> Pace:
    return Pace(interval=30.0, deadline=5.0, max_age=60.0)


def flat(families: Sequence[Family]) -> dict[str, float]:
    """`name{label="value"}` of every sample, with its value."""
    found = {}
    for family in families:
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels)
            found[f"{family.name}{sample.suffix}{{{labels}}}"] = sample.value
    return found


@pytest.fixture
def values() -> Callable[[Reading], dict[str, float]]:
    return lambda reading: flat(reading.families)


@pytest.fixture(scope="session")
def shop() -> Catalog:
    """The shipped catalog, and metrics that a team told it of (`data/orders.yaml`)."""
    return load_catalog([Path(__file__).parent / "data" / "orders.yaml"])
