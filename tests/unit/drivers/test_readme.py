"""Every driver says what people must know before they let it act."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from catalog.inventory import Inventory, Target
from catalog.model import Catalog
from remediator import drivers
from remediator.drivers import DRIVERS, check_inventory

HEADINGS = [
    "What it does",
    "Configuration",
    "Permissions it needs",
    "How it observes",
    "What it cannot undo",
]


def readme(kind: str) -> str:
    return (Path(drivers.__file__).parent / kind / "README.md").read_text()


@pytest.mark.parametrize("kind", DRIVERS)
def test_the_headings_are_there_in_order(kind: str) -> None:
    assert re.findall(r"^## (.+)$", readme(kind), re.MULTILINE) == HEADINGS
    assert readme(kind).startswith(f"# {kind}\n")


@pytest.mark.parametrize("kind", DRIVERS)
def test_every_setting_is_described(kind: str) -> None:
    for name in DRIVERS[kind].Config.model_fields:
        assert re.search(rf"`{name}\b", readme(kind)), f"{name} is not described"


@pytest.mark.parametrize("kind", DRIVERS)
def test_every_verb_is_described(kind: str) -> None:
    for verb in DRIVERS[kind].verbs:
        assert f"`{verb}`" in readme(kind)


@pytest.mark.parametrize("kind", DRIVERS)
def test_the_example_is_a_good_inventory(kind: str) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", readme(kind), re.DOTALL):
        targets = {name: Target(name=name, **body) for name, body in yaml.safe_load(block)["targets"].items()}
        assert check_inventory(Inventory(targets=targets), Catalog(metrics={}, playbooks={})) == []


def test_a_driver_is_called_what_its_folder_is_called() -> None:
    for kind, driver in DRIVERS.items():
        assert driver.kind == kind
        assert driver.__module__ == f"remediator.drivers.{kind}.driver"
