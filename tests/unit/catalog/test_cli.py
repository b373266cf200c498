from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catalog.cli import catalog
from catalog.load import load_catalog
from catalog.schema import MODELS

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GRACE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


def grace(*args: str | Path) -> Result:
    return CliRunner().invoke(catalog, [str(arg) for arg in args], catch_exceptions=False)


def test_check_says_what_there_is() -> None:
    result = grace("check")
    assert result.exit_code == 0
    assert result.output.startswith("ok: 19 metrics (17 on), 15 playbooks, 0 bindings; digest ")


def test_check_lists_every_fault_and_exits_2(write: Write, metric_text: str) -> None:
    result = grace("check", write(metric_text.replace("count", "counts").replace("30s", "x")), "none.yaml")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        'team.yaml:6:5 metrics[0].unit: unknown "counts" (did you mean "count"?)',
        'team.yaml:8:5 metrics[0].interval: "x" does not have the right form; write it like 30s or 5m or 1h30m',
        "none.yaml: cannot be read: No such file or directory",
        "3 faults",
    ]


def test_check_in_json(write: Write) -> None:
    result = grace("check", write("metrcs: []"), "--json")
    assert result.exit_code == 2
    (fault,) = json.loads(result.stdout)["faults"]
    assert (fault["file"], fault["line"], fault["column"], fault["path"]) == ("team.yaml", 1, 1, "metrcs")
    assert json.loads(grace("check", "--json").stdout) == {"ok": True, "faults": []}


def test_without_files_everything_that_the_configuration_names_is_checked(write: Write) -> None:
    write("bindings: [{matchers: 'a=b', target: webb, playbooks: [shift-load]}]", "team.yaml")
    write("targets: {web: {driver: x}}", "inventory.yml")
    write("ceiling: tier_9", "policy.yml")
    config = write("{catalog: [team.yaml], inventory: inventory.yml, governance: policy.yml}", "grace.yml")
    for result in (grace("check"), grace("check", "--config", config)):
        assert result.exit_code == 2
        assert "policy.yml:1:1 ceiling: unknown" in result.stderr
        assert 'names the unknown target "webb" (did you mean "web"?)' in result.stderr


def test_show_lists_all_and_says_which_are_on() -> None:
    output = grace("show").output
    for key in (*load_catalog().metrics, *load_catalog().playbooks):
        assert f"\n{key} " in f"\n{output}"
    assert "19 metrics, 17 on; 15 playbooks" in output
    assert [line.split()[1] for line in output.splitlines() if line.startswith("infra.pod_ready")] == ["off"]


def test_show_explains_a_metric() -> None:
    output = grace("show", "infra.cpu_utilization").output
    for expected in (
        "infra.cpu_utilization: CPU utilization (on)",
        "by the psutil collector, every 30s",
        "grace_host_cpu_utilization_ratio",
        "70..85 %",
        "alert InfraCpuUtilization",
        "1. shift-load (tier_2, low risk: runs by itself)",
        "2. scale-nodes (tier_3, medium risk: waits for 2 people)",
    ):
        assert expected in output


@pytest.mark.parametrize("name", [*load_catalog().metrics, *load_catalog().playbooks])
def test_show_explains_each_in_text_and_json(name: str) -> None:
    assert grace("show", name).output.startswith(f"{name}: ")
    assert json.loads(grace("show", name, "--json").output)["id"] == name


def test_show_says_who_may_do_what_under_the_policy(write: Write) -> None:
    write("{ceiling: tier_3}", "policy.yml")
    write("{governance: policy.yml}", "grace.yml")
    assert "tier_3: waits for one person" in grace("show", "scale-nodes").output
    assert "applies at once, then waits for a person" in grace("show", "tighten-guardrails").output


def test_show_names_the_nearest() -> None:
    result = grace("show", "shift-lod")
    assert (result.exit_code, result.stderr) == (
        2,
        'grace catalog: there is no metric or playbook "shift-lod" (did you mean "shift-load"?)\n',
    )


@pytest.mark.parametrize("name", list(MODELS))
def test_schema_prints_json(name: str) -> None:
    assert json.loads(grace("schema", name).output)["$schema"].endswith("2020-12/schema")


def test_schema_knows_its_names() -> None:
    assert grace("schema", "nonsense").exit_code == 2
    assert grace("schema").exit_code == 2
    assert grace("schema", "--check").exit_code == 0
