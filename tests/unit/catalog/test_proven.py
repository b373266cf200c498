"""Every tick of the table playbook × platform names a test that is there, and that is about this playbook."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from catalog.load import load_catalog
from catalog.proven import FROM_AN_ALERT, PROVEN
from tests.contract.drivers.conftest import RIGS
from tests.contract.drivers.matrix import cases

ROOT = Path(__file__).parents[3]
PLAYBOOKS = load_catalog().playbooks


def test_every_playbook_is_run_from_an_alert() -> None:
    assert set(FROM_AN_ALERT) == set(PLAYBOOKS)


@pytest.mark.parametrize(("playbook", "node"), FROM_AN_ALERT.items(), ids=FROM_AN_ALERT)
def test_the_test_of_the_whole_loop_is_there_and_waits_for_this_playbook(playbook: str, node: str) -> None:
    path, name = node.split("::")
    source = (ROOT / path).read_text(encoding="utf-8")
    (found,) = [each for each in ast.parse(source).body if isinstance(each, ast.FunctionDef) and each.name == name]
    waited_for = {
        call.args[0].value
        for call in ast.walk(found)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "run_of"
        and isinstance(call.args[0], ast.Constant)
    }
    assert playbook in waited_for


@pytest.mark.parametrize(("playbook", "driver"), [(name, kind) for name, kinds in PROVEN.items() for kind in kinds])
def test_the_matrix_has_a_case_on_a_rig_of_this_platform(playbook: str, driver: str) -> None:
    assert [name for tried, name in cases() if tried.id == playbook and RIGS[name].kind == driver]
