"""The demo on which playbooks are tried, one for each module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from demo.workload import inventory as demo_inventory
from stack.tools import Tool
from tests.prove.playbooks.stage import SOON, Stage, stage


def four_workers_at_most(data: Path) -> None:
    """An inventory by which the pool comes to its end, as any pool does: then the standby pool is wanted."""
    inventory = demo_inventory(data)
    inventory["targets"]["workers"]["limits"]["max"] = 4
    (data / "inventory.yml").write_text(yaml.safe_dump(inventory))


@pytest.fixture(scope="module")
def workload(tools: Mapping[str, Tool]) -> Iterator[Stage]:
    """A demo for the playbooks that change the workload."""
    with stage(SOON, four_workers_at_most) as made:
        made.calm()
        yield made


@pytest.fixture
def demo(workload: Stage) -> Iterator[Stage]:
    """The demo, calm; afterwards everything is again as it was before."""
    before = workload.state()
    yield workload
    workload.calm()
    assert workload.state() == before
