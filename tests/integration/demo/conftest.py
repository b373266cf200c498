"""The workload with real ports and a data folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.model import TimeScale
from stack.tools import find, tools_folder
from tests.integration.demo.runner import Workload


@pytest.fixture(scope="session")
def haproxy() -> Path:
    """The program, from PATH or unpacked from the distribution's packages."""
    return find("haproxy", tools_folder(Path(".grace"))).path


@pytest.fixture
def workload(tmp_path: Path, haproxy: Path) -> Iterator[Workload]:
    """The workload in the drill profile; the test starts what it needs of it."""
    with Workload(tmp_path / "data", haproxy, TimeScale(drill=True)) as made:
        yield made
