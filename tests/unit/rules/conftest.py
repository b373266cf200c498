"""A small catalog of one metric per kind of derivation, and what compiles from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.load import load_catalog
from catalog.model import Catalog

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def small() -> Catalog:
    """One metric of every kind, with one and two bad sides: `golden/catalog.yaml`."""
    return load_catalog([HERE / "golden" / "catalog.yaml"], shipped=None)


@pytest.fixture(scope="session")
def shipped() -> Catalog:
    return load_catalog()
