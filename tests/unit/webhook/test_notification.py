"""What we say Alertmanager posts is what it posted."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from catalog.config import GraceConfig
from catalog.load import load_catalog
from catalog.model import Severity
from remediator.webhook.fake import GROUP_BY, ROUTE, notification, usual_resource
from remediator.webhook.notification import Notification, NotifiedAlert, go_json, go_quoted, label_set
from remediator.webhook.payload import parse

ROOT = Path(__file__).parents[3]
PAYLOADS = sorted((ROOT / "tests" / "data" / "payloads").glob("*.json"))


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_captured_payloads_are_made_again_to_the_byte(path: Path) -> None:
    captured = json.loads(path.read_bytes())
    again = Notification(
        receiver=captured["receiver"],
        alerts=[
            NotifiedAlert(
                status=alert["status"],
                labels=alert["labels"],
                annotations=alert["annotations"],
                starts_at=alert["startsAt"],
                ends_at=alert["endsAt"],
                generator_url=alert["generatorURL"],
            )
            for alert in captured["alerts"]
        ],
        group_by=list(captured["groupLabels"]),
        route=captured["groupKey"].rpartition(":")[0],
        external_url=captured["externalURL"],
        truncated=captured["truncatedAlerts"],
    )
    assert again.body() == path.read_bytes()


def test_escapes_of_go() -> None:
    assert go_json({"a": "<b> & 'c' \"\u2028\x01\x7fü"}) == (
        b'{"a":"\\u003cb\\u003e \\u0026 \'c\' \\"\\u2028\\u0001\x7f\xc3\xbc"}\n'
    )
    assert go_quoted('a"b\\\n\x00\x7fü\u200b\U000e0001') == '"a\\"b\\\\\\n\\x00\\x7fü\\u200b\\U000e0001"'
    assert label_set({"b": "2", "a": "1"}) == '{a="1", b="2"}'


def test_a_group_without_alerts_is_never_told_of() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Notification(receiver="x", alerts=[], group_by=[])


CATALOG = load_catalog()


@pytest.mark.parametrize("severity", list(Severity))
@pytest.mark.parametrize("metric_id", [metric.id for metric in CATALOG.enabled])
def test_a_fake_alert_is_the_generated_rules_alert(metric_id: str, severity: Severity) -> None:
    metric = CATALOG.metrics[metric_id]
    resource = usual_resource(metric)
    rules = yaml.safe_load((ROOT / "rules" / "generated" / f"{metric_id}.yml").read_text())
    (rule,) = (
        rule
        for group in rules["groups"]
        for rule in group["rules"]
        if rule.get("alert") == metric.alertname
        and rule["labels"]["metric_id"] == metric_id
        and rule["labels"]["severity"] == severity
    )
    made = notification(metric, severity, resource, GraceConfig(), starts_at=1795333819.48)
    (alert,) = made.alerts
    assert alert.labels == {"alertname": rule["alert"], "resource": resource} | rule["labels"]
    assert alert.annotations == {
        name: text.replace("{{ $labels.resource }}", resource) for name, text in rule["annotations"].items()
    }
    (query,) = parse_qs(urlsplit(alert.generator_url).query)["g0.expr"]
    assert query == rule["expr"]
    (shown,) = parse(made.body()).alerts
    assert shown.metric_id == metric_id
    assert shown.severity == severity
    assert shown.starts_at_text == "2026-11-22T07:50:19.48Z"


def test_the_route_is_the_generated_configurations() -> None:
    config = yaml.safe_load((ROOT / "rules" / "generated" / "alertmanager" / "alertmanager.yml").read_text())
    route = config["route"]["routes"][0]
    assert route["group_by"] == list(GROUP_BY)
    assert "{}/{" + ",".join(route["matchers"]) + "}" == ROUTE
    metric = CATALOG.metrics["infra.cpu_utilization"]
    made = notification(metric, Severity.CRITICAL, 'a"b', GraceConfig(), starts_at=0.0, ends_at=1.0)
    assert made.receiver == route["receiver"]
    document = json.loads(made.body())
    assert document["groupKey"] == (
        '{}/{grace="true"}:{metric_id="infra.cpu_utilization", resource="a\\"b", severity="critical"}'
    )
    assert document["status"] == document["alerts"][0]["status"] == "resolved"
    assert document["alerts"][0]["endsAt"] == "1970-01-01T00:00:01Z"
    assert "&g0.tab=1" not in made.body().decode(), "Go escapes it"
    assert document["alerts"][0]["generatorURL"] == (
        "http://127.0.0.1:9090/graph?g0.expr=last_over_time%28resource%3Agrace_alert%3Aseverity%7B"
        "metric_id%3D%22infra.cpu_utilization%22%7D%5B15s%5D%29+%3D%3D+2&g0.tab=1"
    )
