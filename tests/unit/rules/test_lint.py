"""Every check of the linter: what it finds, and what it lets pass."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rules.cli import GENERATED
from rules.lint import lint

ALERT = {"alert": "A", "labels": {"severity": "critical"}}
BAD_AND_GOOD = [
    ("comparison", {**ALERT, "expr": "up == bool 0"}, {**ALERT, "expr": "up == 0"}),
    ("comparison", {**ALERT, "expr": "a > 1 or b"}, {**ALERT, "expr": "a > 1 or b > 1"}),
    ("comparison", {**ALERT, "expr": "sum(a)"}, {**ALERT, "expr": "sum(a > 2)"}),
    (
        "template",
        {**ALERT, "expr": "sum by (job) (a) > 1", "annotations": {"summary": "{{ $labels.instance }} is ill"}},
        {**ALERT, "expr": "sum by (job) (a) > 1", "annotations": {"summary": "{{ $labels.job }} is ill"}},
    ),
    (
        "template",
        {"alert": "A", "expr": "a > 1", "labels": {"much": "{{ $value }}"}},
        {"alert": "A", "expr": "a > 1", "annotations": {"much": "{{ $value }}"}},
    ),
    (
        "template",
        {**ALERT, "expr": "a > 1", "annotations": {"summary": "{{ $labels.job"}},
        {**ALERT, "expr": "a > 1", "annotations": {"summary": "{{ $labels.job }}"}},
    ),
    ("absent", {**ALERT, "expr": "absent(up)"}, {**ALERT, "expr": "absent(up)", "for": "5m"}),
    (
        "aggregate",
        {"record": "instance:a:sum", "expr": "sum by (job) (a)"},
        {"record": "instance_job:a:sum", "expr": "sum by (job, instance) (a)"},
    ),
    ("fragile", {**ALERT, "expr": "topk(3, a) > 1"}, {**ALERT, "expr": "a > 1"}),
    (
        "fragile",
        {"record": "a", "expr": "sum without (x) (b) / c"},
        {"record": "a", "expr": "sum without (x) (b) / on (job) c"},
    ),
    ("impossible", {**ALERT, "expr": 'a{b="c",b="d"} > 1'}, {**ALERT, "expr": 'a{b="c",b!="d"} > 1'}),
    ("impossible", {**ALERT, "expr": "a > 5 < 3"}, {**ALERT, "expr": "a > 3 < 5"}),
    (
        "impossible",
        {"record": "a", "expr": "sum by (job) (b) * on (instance) c"},
        {"record": "a", "expr": "sum by (job) (b) * on (job) c"},
    ),
    ("nan", {"record": "a", "expr": "b / c >= bool 0.7"}, {"record": "a", "expr": "(b / c > -Inf) >= bool 0.7"}),
    ("nan", {**ALERT, "expr": "b / c != 1"}, {**ALERT, "expr": "b / 100 != 1"}),
    ("rate", {"record": "a", "expr": "rate(b_total[20s])"}, {"record": "a", "expr": "rate(b_total[1m])"}),
    (
        "vector_matching",
        {"record": "a", "expr": "sum by (job) (b) / sum by (job, code) (c)"},
        {"record": "a", "expr": "sum by (job) (b) / on (job) group_left sum by (job, code) (c)"},
    ),
    ("vector_matching", {**ALERT, "expr": "sum(a) / sum by (job) (a) > 1"}, {**ALERT, "expr": "sum(a) / 3 > 1"}),
]


def checks(folder: Path, *groups: list[dict[str, object]]) -> set[str]:
    document = {"groups": [{"name": f"g{number}", "rules": rules} for number, rules in enumerate(groups)]}
    (folder / "rules.yml").write_text(yaml.safe_dump(document, sort_keys=False))
    return {issue.check for issue in lint([folder / "rules.yml"])}


@pytest.mark.parametrize(("check", "bad", "good"), BAD_AND_GOOD)
def test_what_is_wrong_is_found_and_what_is_right_passes(
    tmp_path: Path, check: str, bad: dict[str, object], good: dict[str, object]
) -> None:
    assert checks(tmp_path, [bad]) == {check}
    assert checks(tmp_path, [good]) == set()


def test_what_is_read_before_it_is_written(tmp_path: Path) -> None:
    record, alert = {"record": "job:a:sum", "expr": "sum by (job) (a)"}, {**ALERT, "expr": "job:a:sum > 1"}
    assert checks(tmp_path, [record, alert]) == set()
    assert checks(tmp_path, [alert, record]) == {"dependency"}
    assert checks(tmp_path, [record], [alert]) == {"dependency"}


def test_what_is_there_twice(tmp_path: Path) -> None:
    alert = {**ALERT, "expr": "a > 1"}
    assert checks(tmp_path, [alert], [{**alert, "expr": "a > 2"}]) == {"duplicate"}
    assert checks(tmp_path, [alert], [{**alert, "labels": {"severity": "warning"}}]) == set()


@pytest.mark.parametrize(
    "text",
    [
        "groups: [{name: a, rules: [{record: b, expr: 'sum('}]}]",
        "a: [",
        "\x00",
        "\tgroups:",
        "",
        "groups:",
        "rules: []",
        "[" * 5000,
    ],
)
def test_what_cannot_be_read_is_one_issue(tmp_path: Path, text: str) -> None:
    (tmp_path / "rules.yml").write_text(text)
    (issue,) = lint([tmp_path / "rules.yml"])
    assert issue.check == "syntax"
    assert str(issue).startswith(f"{tmp_path / 'rules.yml'}:1 ")


@pytest.mark.parametrize(
    "expr", [f"{'(' * 20_000}a{')' * 20_000} > 1", f"{'-' * 20_000}a > 1", f"{'a + ' * 1000}a > 1"]
)
def test_an_expression_that_is_too_deep_is_one_issue(tmp_path: Path, expr: str) -> None:
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [{**ALERT, "expr": expr}]}]}))
    (issue,) = lint([tmp_path / "rules.yml"])
    assert issue.check == "syntax"


def test_long_strings_make_no_expression_deep(tmp_path: Path) -> None:
    expr = f'up{{job=~"{"|".join(f"job-{number}" for number in range(2000))}"}} == 0'
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [{**ALERT, "expr": expr}]}]}))
    assert lint([tmp_path / "rules.yml"]) == []


def test_our_own_rules_pass() -> None:
    assert [str(issue) for issue in lint(sorted(GENERATED.glob("*.yml")))] == []
