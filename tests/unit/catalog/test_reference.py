from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog.cli import catalog
from catalog.load import load_catalog
from catalog.policy import Policy
from catalog.reference import anchor, reference

COMMITTED = Path(__file__).parents[3] / "docs" / "reference"
TEXTS = reference(load_catalog(), Policy())


@pytest.mark.parametrize("name", list(TEXTS))
def test_the_committed_reference_is_that_of_the_catalog(name: str) -> None:
    assert (COMMITTED / name).read_text(encoding="utf-8") == TEXTS[name], "run: grace catalog reference"


def test_every_metric_and_playbook_has_its_section() -> None:
    for name, keys in (("metrics.md", load_catalog().metrics), ("playbooks.md", load_catalog().playbooks)):
        headings = set(re.findall(r"^#+ (\S+)$", TEXTS[name], re.MULTILINE))
        assert set(keys) <= headings


def test_every_link_leads_somewhere() -> None:
    anchors = {
        name: {anchor(found) for found in re.findall(r"^#+ (.+)$", text, re.MULTILINE)} for name, text in TEXTS.items()
    }
    for name, text in TEXTS.items():
        for page, place in re.findall(r"\]\(([a-z.]*)#([^)]+)\)", text):
            assert place in anchors[page or name]


def test_check_is_red_after_a_change_by_hand(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(catalog, ["reference", "--out", str(tmp_path)]).exit_code == 0
    assert run(catalog, ["reference", "--out", str(tmp_path), "--check"]).exit_code == 0
    page = tmp_path / "metrics.md"
    page.write_text(page.read_text().replace("350", "351"))
    result = run(catalog, ["reference", "--out", str(tmp_path), "--check"])
    assert (result.exit_code, result.stderr) == (1, f"stale: {page}\n")
