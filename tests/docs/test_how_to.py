"""The how-tos, followed literally."""

from __future__ import annotations

import json
import re

import pytest

from tests.docs.conftest import ROOT
from tests.docs.console import Shell, blocks

HOW_TO = ROOT / "docs" / "how-to"


@pytest.mark.parametrize(
    "page",
    [
        "add-a-metric",
        "add-a-playbook",
        "catalog-of-your-own",
        "thanos-or-mimir",
        "run-with-compose",
    ],
)
def test_a_page_is_right(page: str, shell: Shell) -> None:
    commands = [each for block in blocks(HOW_TO / f"{page}.md") if block.kind == "console" for each in block.commands]
    assert shell.follow(HOW_TO / f"{page}.md") == len(commands)


@pytest.mark.acceptance
@pytest.mark.parametrize("page", ["existing-prometheus", "approvals-on-call"])
def test_a_page_is_right_on_the_real_thing(page: str, shell: Shell) -> None:
    assert shell.follow(HOW_TO / f"{page}.md") >= 7


def test_what_is_expected_must_be_printed_in_order(shell: Shell) -> None:
    assert (
        shell.missing(["one 1 two", "inc_abcdef12 again", "… end"], "one 22 two\nx\ninc_zzzz9999 again\nthe end")
        is None
    )
    assert shell.ids == {"inc_abcdef12": "inc_zzzz9999"}
    assert shell.missing(["b", "a"], "a\nb") == "a"
    assert shell.missing(["inc_abcdef12"], "inc_other0000") == "inc_abcdef12"
    assert shell.missing(["healed in 44 s"], "escalated in 44 s") == "healed in 44 s"


def test_the_docker_proxy_inventory_is_one_that_loads(shell: Shell) -> None:
    from catalog.load import load_catalog, load_inventory
    from remediator.drivers import check_inventory

    shell.follow(HOW_TO / "run-with-compose.md")
    assert check_inventory(load_inventory(shell.folder / "inventory.yml"), load_catalog()) == []


def test_links_lead_somewhere() -> None:
    broken = []
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
            if not target.startswith(("http:", "https:")) and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == [], json.dumps(broken, indent=2)
