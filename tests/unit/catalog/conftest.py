from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.load import CatalogError, load_catalog
from catalog.model import Catalog

METRIC = """
metrics:
  - id: orders.backlog
    title: Orders waiting
    category: executor
    unit: count
    unit_label: orders
    interval: 30s
    window: 5m
    resource_is: queue
    source: events
    derive: {kind: gauge, series: orders_backlog}
    aggregate: max
    empty: zero
    bands: {good: "< 10", warning: "10..20", critical: "> 20"}
    warning: [scale-workers]
    critical: [scale-workers, escalate]
"""
"""One good metric of a team's own, as the only content of a file."""


@pytest.fixture
def metric_text() -> str:
    return METRIC


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | bytes, str], Path]:
    """Write a file below the working directory, so that faults show its short name."""
    monkeypatch.chdir(tmp_path)

    def written(content: str | bytes, name: str = "team.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


@pytest.fixture
def laid(write: Callable[[str | bytes, str], Path]) -> Callable[..., Catalog]:
    """Load files laid over the shipped catalog."""

    def loaded(*contents: str) -> Catalog:
        return load_catalog([write(content, f"team-{index}.yaml") for index, content in enumerate(contents)])

    return loaded


@pytest.fixture
def faults(write: Callable[[str | bytes, str], Path]) -> Callable[..., list[str]]:
    """The faults of one file laid over the shipped catalog, one line each."""

    def found(content: str | bytes) -> list[str]:
        path = write(content, "team.yaml")
        with pytest.raises(CatalogError) as raised:
            load_catalog([path])
        return [str(fault) for fault in raised.value.faults]

    return found
