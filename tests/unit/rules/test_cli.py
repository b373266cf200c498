"""`grace rules build` and `check`, as people call them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from rules.cli import rules

CATALOG = Path(__file__).parent / "golden" / "catalog.yaml"


def grace(*words: str | Path) -> Result:
    return CliRunner().invoke(rules, [str(word) for word in words])


def test_build_then_check_then_drift(tmp_path: Path) -> None:
    assert grace("build", "--out", tmp_path).exit_code == 0
    assert grace("build", "--out", tmp_path, "--check").exit_code == 0
    rule_file = tmp_path / "infra.cpu_utilization.yml"
    rule_file.write_text(rule_file.read_text().replace("> bool 0.85", "> bool 0.86", 1))
    told = grace("build", "--out", tmp_path, "--check")
    assert told.exit_code == 1
    assert "> bool 0.86" in told.output
    assert "0.86" in rule_file.read_text(), "--check writes nothing"


def test_a_catalog_of_ones_own_lies_over_the_shipped_one(tmp_path: Path) -> None:
    assert grace("build", "--out", tmp_path, "--catalog", CATALOG, "--drill").exit_code == 0
    for metric_id in ("executor.queue_depth", "executor.room_temperature"):
        (group,) = yaml.safe_load((tmp_path / f"{metric_id}.yml").read_text())["groups"]
        assert (group["name"], group["interval"]) == (f"grace.{metric_id}", "3s")


def test_without_tests_there_are_none_left_of_an_earlier_catalog(tmp_path: Path) -> None:
    assert grace("build", "--out", tmp_path, "--catalog", CATALOG).exit_code == 0
    assert list(tmp_path.glob("tests/*.yml"))
    assert grace("build", "--out", tmp_path, "--no-tests").exit_code == 0
    assert not list(tmp_path.glob("tests/*.yml"))
    assert grace("build", "--out", tmp_path, "--no-tests", "--check").exit_code == 0


def test_receivers_are_arguments(tmp_path: Path) -> None:
    words = ("--remediator-url", "https://grace.example:9782/", "--credentials-file", "/run/secrets/token")
    assert grace("build", "--out", tmp_path, *words).exit_code == 0
    config = yaml.safe_load((tmp_path / "alertmanager" / "alertmanager.yml").read_text())
    (hook,) = config["receivers"][0]["webhook_configs"]
    assert hook["url"] == "https://grace.example:9782/api/v1/alerts"
    assert hook["http_config"]["authorization"] == {"credentials_file": "/run/secrets/token"}
    assert (hook["max_alerts"], hook["send_resolved"]) == (0, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--time-scale", "0"), "above 0"),
        (("--time-scale", "0.001"), "shorter than the scrape interval"),
        (("--catalog", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_wrong_input_is_one_clear_fault_and_writes_nothing(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    told = grace("build", "--out", tmp_path / "out", *words)
    assert told.exit_code == 2
    assert says in told.output
    assert "Traceback" not in told.output
    assert not (tmp_path / "out").exists()


def test_check_says_how_to_get_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("GRACE_TOOLS", raising=False)
    monkeypatch.chdir(tmp_path)  # where nothing was unpacked
    grace("build", "--out", tmp_path)
    told = grace("check", tmp_path)
    assert told.exit_code == 2
    assert "grace tools" in told.output


@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf", "1e9"])
def test_an_interval_that_cannot_be_is_wrong_usage(tmp_path: Path, promtool: Path, seconds: str) -> None:
    rule_file = tmp_path / "team.yml"
    rule_file.write_text("groups: [{name: team, rules: [{record: 'a:b', expr: 'rate(a_total[20s])'}]}]\n")
    told = grace("check", rule_file, "--promtool", promtool, "--scrape-interval", seconds)
    assert told.exit_code == 2
    assert "--scrape-interval: must be above 0 and at most 86400 seconds" in " ".join(told.output.split())


def test_check_lints_any_rule_file(tmp_path: Path, promtool: Path) -> None:
    rule_file = tmp_path / "team.yml"
    rule_file.write_text("groups: [{name: team, rules: [{alert: Down, expr: 'rate(a_total[20s])'}]}]\n")
    told = grace("check", rule_file, "--promtool", promtool)
    assert told.exit_code == 1
    assert f"{rule_file}:1 Down: " in told.output
    assert {"(comparison)", "(rate)"} <= set(told.output.split())
