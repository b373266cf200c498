"""`grace fire`: the body alone, or posted with Alertmanager's token."""

from __future__ import annotations

import json
from typing import Any

import pytest

from catalog.load import load_catalog
from remediator.webhook.payload import parse

METRICS = list(load_catalog().metrics)
WHEN = ("--starts-at", "2026-11-22T07:50:19.483Z")


@pytest.mark.parametrize("metric_id", METRICS)
def test_prints_a_payload_and_nothing_else_for_every_metric(shell: Any, metric_id: str) -> None:
    for options in ([], ["--severity", "warning"], ["--resolved"]):
        result = shell.grace("fire", metric_id, "--print", *options)
        assert result.exit_code == 0
        assert result.stderr == ""
        (alert,) = parse(result.stdout_bytes).alerts
        assert alert.metric_id == metric_id
        assert alert.status == ("resolved" if "--resolved" in options else "firing")
        assert alert.severity == ("warning" if "warning" in options else "critical")
    assert shell.fake.asked == []


def test_the_same_moment_gives_the_same_bytes(shell: Any) -> None:
    one, other = (shell.grace("fire", "api.error_rate", "--print", *WHEN).stdout_bytes for _ in range(2))
    assert one == other
    assert parse(one).alerts[0].starts_at_text == "2026-11-22T07:50:19.483Z"


def test_the_urls_are_those_of_the_configuration(shell: Any) -> None:
    (shell.folder / "grace.yml").write_text(
        "prometheus: {url: 'http://prom.example:9090'}\nalertmanager: {url: 'http://am.example:9093', receiver: us}\n"
    )
    document = json.loads(shell.grace("fire", "api.error_rate", "--print").stdout)
    assert document["externalURL"] == "http://am.example:9093"
    assert document["receiver"] == "us"
    assert document["alerts"][0]["generatorURL"].startswith("http://prom.example:9090/graph?")


def test_posts_exactly_what_it_prints_with_alertmanagers_token(shell: Any) -> None:
    shell.fake.answers["POST /api/v1/alerts"] = (202, {"accepted": 1, "duplicates": 0})
    printed = shell.grace("fire", "api.error_rate", "--print", *WHEN).stdout_bytes
    result = shell.grace("fire", "api.error_rate", *WHEN)
    assert result.stdout == "accepted 1, already known 0\n"
    (asked,) = shell.fake.asked
    assert asked.body == printed
    assert asked.token == "grace_alertmanager"
    assert json.loads(shell.grace("fire", "api.error_rate", "--json").stdout) == {"accepted": 1, "duplicates": 0}


def test_a_resource_of_any_characters(shell: Any) -> None:
    hostile = 'a"b\\c<d>\n'
    result = shell.grace("fire", "infra.cpu_utilization", "--resource", hostile, "--print")
    assert parse(result.stdout_bytes).alerts[0].resource == hostile


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["infra.cpu_utilisation"], 'did you mean "infra.cpu_utilization"?'),
        (["nonsense"], "grace catalog show"),
        (["api.error_rate", "--starts-at", "now"], "2026-11-22T07:50:19.5Z"),
        (["api.error_rate", "--ends-at", "2026-11-22T07:50:19Z"], "--resolved"),
        (["api.error_rate", "--severity", "page"], "critical"),
        ([], "METRIC_ID"),
    ],
)
def test_wrong_usage(shell: Any, arguments: list[str], said: str) -> None:
    result = shell.grace("fire", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
