"""Everything that people can set, run or be told is documented somewhere below docs/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import remediator.api.reference
import stack.reference
from catalog.config import GraceConfig
from catalog.inventory import Inventory
from catalog.load import load_catalog
from catalog.policy import Policy
from exporter.collectors import COLLECTORS
from exporter.config import ExporterConfig
from grace.main import main
from remediator.drivers import DRIVERS
from tests.docs.conftest import ROOT

DOCS = ROOT / "docs"
PROBLEM = re.compile(r"\b(?:problem|PayloadError)\(\s*(?:\w+(?:\.get)?\([^)]*\)|\d+),\s*\"([^\"]+)\"")


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_configuration_page_is_what_the_models_say() -> None:
    assert text("reference/configuration.md") == stack.reference.page(), "write it again: python -m stack.reference"


def test_the_api_page_is_what_the_routes_say() -> None:
    page = remediator.api.reference.page()
    assert text("reference/http-api.md") == page, "write it again: python -m remediator.api.reference"


@pytest.mark.parametrize("model", [GraceConfig, Policy, Inventory, ExporterConfig])
def test_every_setting_says_what_it_means(model: type) -> None:
    rows = list(stack.reference.settings(model))
    assert len(rows) >= 10
    assert [key for key, _, meaning in rows if not meaning] == []


def test_nothing_is_left_out_of_the_configuration_page() -> None:
    keys = {key for key, _, _ in stack.reference.settings(GraceConfig)}
    assert {"data_dir", "ledger.url", "prometheus.password_file", "notify[].name", "audit.checkpoint_every"} <= keys
    assert {"rates.all_hour", "maintenance[].rrule"} <= {key for key, _, _ in stack.reference.settings(Policy)}
    assert "targets.NAME.limits.max" in {key for key, _, _ in stack.reference.settings(Inventory)}
    for name in COLLECTORS:
        assert f"`collectors[{name}]." in text("reference/configuration.md"), name


def test_every_driver_is_in_the_index() -> None:
    for name in DRIVERS:
        assert f"[{name}](../remediator/drivers/{name}/README.md)" in text("README.md"), name


def test_every_metric_and_playbook_is_in_the_reference() -> None:
    catalog = load_catalog()
    for name in catalog.metrics:
        assert name in text("reference/metrics.md"), name
    for name in catalog.playbooks:
        assert name in text("reference/playbooks.md"), name


def commands(group: click.Group, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*above, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*above, name))


def test_every_command_is_in_the_reference() -> None:
    page = text("reference/cli.md")
    for words in commands(main, ("grace",)):
        assert " ".join(words) in page, words


def problems() -> set[str]:
    sources = [path for part in ("remediator", "exporter") for path in (ROOT / part).rglob("*.py")]
    return {title for path in sources for title in PROBLEM.findall(path.read_text(encoding="utf-8"))}


def test_every_problem_is_in_the_reference() -> None:
    found = problems()
    assert {"Bad request", "Refused", "Not an Alertmanager payload", "Too many failures"} <= found
    page = text("reference/problems.md")
    assert {title for title in found if f"| {title} |" not in page} == set()


def test_every_page_is_in_the_index() -> None:
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {"README.md"}
    index = text("README.md")
    assert {page for page in pages if not page.startswith("adr/") and f"]({page})" not in index} == set()


def test_the_architecture_names_files_that_exist() -> None:
    named = set(
        re.findall(
            r"`((?:catalog|rules|exporter|remediator|demo|grafana|stack|grace)/[\w/]+\.(?:py|yaml))`",
            text("architecture.md"),
        )
    )
    assert len(named) >= 20
    assert {name for name in named if not Path(ROOT / name).exists()} == set()
