"""Drivers that are made when they are first asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from remediator.drivers import DRIVERS
from remediator.drivers.opened import OpenedDrivers


class Closing:
    """As much of a driver as is needed here."""

    def __init__(self, kind: str) -> None:
        self.kind, self.closed = kind, False

    async def close(self) -> None:
        self.closed = True


def opened(made: list[Any]) -> OpenedDrivers:
    def make(kind: str) -> Any:
        made.append(Closing(kind))
        return made[-1]

    return OpenedDrivers(("notify", "sql"), make)


def test_a_driver_is_made_once_when_it_is_asked_for() -> None:
    made: list[Any] = []
    drivers = opened(made)
    assert list(drivers) == ["notify", "sql"]
    assert made == []
    assert drivers["sql"] is drivers["sql"]
    assert [driver.kind for driver in made] == ["sql"]


def test_an_unknown_driver_is_not_there() -> None:
    made: list[Any] = []
    assert opened(made).get("systemd") is None
    with pytest.raises(KeyError, match="systemd"):
        opened(made)["systemd"]
    assert made == []


async def test_only_what_was_made_is_closed() -> None:
    made: list[Any] = []
    drivers = opened(made)
    drivers["notify"]
    await drivers.close()
    assert [(driver.kind, driver.closed) for driver in made] == [("notify", True)]


def test_every_row_of_the_table_leads_to_its_driver() -> None:
    assert {kind: DRIVERS[kind].kind for kind in DRIVERS} == {kind: kind for kind in DRIVERS}


def test_a_remediator_imports_no_driver_and_no_client_that_nobody_asked_for() -> None:
    """What it keeps in memory all its life is what it needs."""
    unwanted = ("zmq", "circus", "psutil", "rich", "pygments", "sqlalchemy.orm", "sqlalchemy.dialects.postgresql")
    code = (
        "import sys, remediator.cli.server as server; server.import_structlog(); import remediator.app\n"
        f"print([name for name in {unwanted} if sys.modules.get(name)],"
        " [name for name in sys.modules if name.startswith('remediator.drivers.') and name.endswith('.driver')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] []"
