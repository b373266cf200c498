"""Existing rule files: what of them Grace understands, and what it says it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from catalog.cli import catalog
from catalog.explain import band_texts
from catalog.foreign import comparison_in
from catalog.load import load_catalog

HOSTS = Path(__file__).parent / "rules" / "hosts.yml"
Write = Callable[..., Path]


def grace(*args: str | Path) -> Result:
    return CliRunner().invoke(catalog, ["import", *map(str, args)], catch_exceptions=False)


def test_the_sample_becomes_a_catalog_that_loads(tmp_path: Path) -> None:
    result = grace(HOSTS, "--out", tmp_path / "in", "--target", "hosts", "--playbook", "restart-workers")
    assert result.exit_code == 0, result.output
    found = load_catalog([tmp_path / "in" / "catalog.yaml"])
    cpu, disk = (found.metrics[f"infra.{name}"] for name in ("host_cpu_busy", "host_filesystem_almost_full"))
    assert band_texts(cpu.bands) == ("<= 80", "80..90", "> 90")
    assert band_texts(disk.bands) == (">= 5", "3..5", "< 3")
    assert (cpu.interval, cpu.window, disk.interval) == (300, 900, 600)
    assert disk.description == "Filesystem has little space left."
    assert [binding.matchers for binding in found.bindings] == [
        ('alertname="HostFilesystemFillsUp"',),
        ('alertname="HostDown"',),
        ('alertname="HostClockSkew"',),
    ]
    assert all(binding.verify and binding.target == "hosts" for binding in found.bindings)
    assert "2 metrics, 3 bindings, 2 left:" in result.output
    assert "instance:cpu_busy:ratio: a recording rule; it stays where it is" in result.output
    assert 'hosts.yml:52:9 groups[1].rules[7]: the alert "HostBroken" cannot be read' in result.output


def test_each_metric_has_its_recording_rule(tmp_path: Path) -> None:
    grace(HOSTS, "--out", tmp_path / "in")
    (group,) = yaml.safe_load((tmp_path / "in" / "recording.yml").read_text())["groups"]
    recorded = {rule["record"]: rule["expr"] for rule in group["rules"]}
    for metric in load_catalog([tmp_path / "in" / "catalog.yaml"]).metrics.values():
        if metric.source.collector == "prometheus":
            assert metric.derive.series in recorded  # type: ignore[union-attr]
    assert recorded["grace_imported:host_cpu_busy:value"].startswith(
        "max by (resource) (label_replace(instance:cpu_busy"
    )
    value = recorded["grace_imported:host_filesystem_almost_full:value"]
    assert value.startswith("min by (resource) (label_replace((node_filesystem_avail_bytes")
    assert "node_filesystem_readonly" in value
    assert "< 5" not in value


def test_the_output_is_stable_and_never_overwritten_unasked(tmp_path: Path) -> None:
    for name in ("one", "two"):
        grace(HOSTS, "--out", tmp_path / name)
    for name in ("catalog.yaml", "recording.yml"):
        assert (tmp_path / "one" / name).read_text() == (tmp_path / "two" / name).read_text()
    assert grace(HOSTS, "--out", tmp_path / "one").exit_code == 2
    assert grace(HOSTS, "--out", tmp_path / "one", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("expr", "value", "sign", "edge"),
    [
        ("a > 5", "a{}", ">", "5"),
        ("5 < a", "a{}", ">", "5"),
        ("(a <= 0.05)", "a{}", "<=", "0.05"),
        ("a > 5 and on (x) b == 1", "(a{}) and on (x) b{} == 1", ">", "5"),
        ("a > 5 unless b", "(a{}) unless  b{}", ">", "5"),
        ("sum by (j) (rate(a[5m])) / 2 > 1e2", "sum by (j)(rate(a{}[5m])) / 2", ">", "100"),
    ],
)
def test_the_comparison_that_decides(expr: str, value: str, sign: str, edge: str) -> None:
    found = comparison_in(expr)
    assert found is not None
    assert (found.value.split(), found.sign, f"{found.edge:f}") == (value.split(), sign, edge)


@pytest.mark.parametrize(
    "expr", ["a == 0", "a > b", "a > bool 5", "absent(a)", "a > 5 or b < 3", "a", "a > Inf", "1 + 2"]
)
def test_what_is_no_single_comparison(expr: str) -> None:
    assert comparison_in(expr) is None


def pair(warning: str, critical: str) -> str:
    rules = "".join(
        f"  - {{alert: A, expr: '{expr}', labels: {{severity: {severity}}}}}\n"
        for expr, severity in ((warning, "warning"), (critical, "critical"))
    )
    return f"groups:\n- name: g\n  rules:\n{rules}"


@pytest.mark.parametrize(
    ("warning", "critical", "metrics", "bindings"),
    [
        ("a > 5", "a > 9", 1, 0),
        ("a >= 5", "a > 9", 1, 0),
        ("a < 5", "a < 1", 1, 0),
        ("a > 9", "a > 5", 0, 2),
        ("a > 5", "b > 9", 0, 2),
        ("a > 5", "a < 1", 0, 2),
        ("a > 5", "a > 1e18", 0, 2),
        ("a > 5", "a > 5", 0, 2),
    ],
)
def test_two_alerts_of_one_value_are_a_metric(
    warning: str, critical: str, metrics: int, bindings: int, write: Write, tmp_path: Path
) -> None:
    result = grace(write(pair(warning, critical)), "--out", tmp_path / "in")
    assert result.output.splitlines()[-1 - (metrics == 0 and "bound instead" in result.output)].startswith(
        f"{metrics} metrics, {bindings} bindings"
    )
    assert len(load_catalog([tmp_path / "in" / "catalog.yaml"]).bindings) == bindings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a rule file: it has no list of `groups`"),
        ("[]", "not a rule file"),
        ("groups: 3", "not a rule file"),
        ("groups: [", "not YAML"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_what_is_no_rule_file(text: str | bytes, said: str, write: Write, tmp_path: Path) -> None:
    result = grace(write(text), "--out", tmp_path / "in")
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "in").exists()


def test_parts_that_are_not_understood_are_listed(write: Write, tmp_path: Path) -> None:
    text = "groups: [{name: g}, {name: h, rules: [{alert: A}, {foo: 1}, 3, {alert: 'a\"b', expr: up == 0, for: soon}]}]"
    result = grace(write(text), "--out", tmp_path / "in")
    assert result.exit_code == 0
    assert "0 metrics, 0 bindings, 5 left:" in result.output


def test_names_are_escaped(write: Write, tmp_path: Path) -> None:
    text = "groups: [{name: h, rules: [{alert: 'a\"b', expr: up == 0}]}]"
    grace(write(text), "--out", tmp_path / "in")
    (binding,) = load_catalog([tmp_path / "in" / "catalog.yaml"]).bindings
    assert binding.matches({"alertname": 'a"b'})
