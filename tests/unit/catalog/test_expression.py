"""No expression ends the process, wherever it is read from: the parser alone would, at some thousands of levels."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from catalog.expression import DEEPEST, LONGEST, parsed
from catalog.fault import CatalogError
from catalog.load import load_catalog
from grace.main import main
from grafana.check.promql import NoPromQL
from grafana.check.promql import parse as parse_panel
from stack.doctor.rules import _expressions

N = 20_000
NESTED = "(" * N + "a" + ")" * N
DEEP = {
    "parentheses": NESTED,
    "signs": "-" * N + "a",
    "additions": "a" + " + a" * N,
    "strings between operators": '""' + '+""' * N,
    "between quotes in comments": f'a # "\n + {NESTED} # "',
    "between quotes in strings": f"a{{b='\"'}} + {NESTED} + a{{b='\"'}}",
    "just short enough": "-" * (LONGEST - 1) + "a",
    "in an aggregation's parameter": f"topk({'(' * 1000}1{')' * 1000}, a)",
}
deep = pytest.mark.parametrize("expr", DEEP.values(), ids=DEEP.keys())


@deep
def test_what_is_too_deep_is_an_error(expr: str) -> None:
    with pytest.raises(ValueError, match=r"longer than 5000 characters|nested more than 200 deep"):
        parsed(expr)


@pytest.mark.parametrize(
    "expr",
    [
        "(" * (DEEPEST - 1) + "a" + ")" * (DEEPEST - 1),
        "a" + " or a" * (DEEPEST - 1),
        f'up{{job=~"{"|".join(f"job-({number})" for number in range(2000))}"}}',
        "a{b='\\'\"`',c=`\"'\n`} # " + "it's long enough" * 1000,
    ],
)
def test_what_is_not_is_parsed(expr: str) -> None:
    assert str(parsed(expr))


@deep
def test_in_a_catalog_it_is_a_fault_with_its_place(tmp_path: Path, expr: str) -> None:
    file = tmp_path / "team.yml"
    binding = {"matchers": ['alertname="X"'], "target": "governance", "playbooks": ["run-postmortem"], "verify": expr}
    file.write_text(yaml.safe_dump({"bindings": [binding]}))
    with pytest.raises(CatalogError) as caught:
        load_catalog((file,))
    (fault,) = caught.value.faults
    assert str(fault).startswith(f"{file}:")
    assert "bindings[0].verify" in str(fault)
    assert len(str(fault)) < 600 + len(str(file))


@deep
def test_in_rules_to_import_it_is_left_with_its_place(tmp_path: Path, expr: str) -> None:
    file = tmp_path / "alerts.yml"
    rules = [{"alert": "Deep", "expr": expr}, {"alert": "Plain", "expr": "up == 0"}]
    file.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    result = CliRunner().invoke(main, ["catalog", "import", str(file), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0
    said = " ".join(result.output.split())
    assert f"{file}:" in said
    assert "Deep" in said
    assert "cannot be read" in said
    written = "".join(each.read_text() for each in (tmp_path / "out").iterdir())
    assert "Plain" in written
    assert "Deep" not in written


@deep
def test_in_a_dashboard_it_is_a_problem(expr: str) -> None:
    with pytest.raises(NoPromQL):
        parse_panel(expr)


@deep
def test_among_loaded_rules_it_is_another_expression(expr: str) -> None:
    assert _expressions([{"name": "a", "query": expr}]) != _expressions([{"record": "a", "expr": "a + b"}])
    assert _expressions([{"name": "a", "query": "a+b"}]) == _expressions([{"record": "a", "expr": "a + b"}])
