"""Alertmanager's routing tree, walked as Alertmanager walks it."""

from __future__ import annotations

import pytest
import yaml

from stack.routes import receivers

TREE = yaml.safe_load("""
receiver: people
routes:
  - receiver: grace
    matchers: ['grace="true"', 'severity=~"warning|critical"']
    continue: true
  - matchers: [team="db"]
    routes:
      - receiver: dba
        match: {severity: critical}
  - receiver: nobody
    match_re: {alertname: "Watch.*"}
""")


@pytest.mark.parametrize(
    ("labels", "reached"),
    [
        ({}, ("people",)),
        ({"grace": "true", "severity": "critical"}, ("grace",)),
        ({"grace": "true", "severity": "info"}, ("people",)),
        ({"grace": "true", "severity": "critical", "team": "db"}, ("grace", "dba")),
        ({"team": "db", "severity": "warning"}, ("people",)),
        ({"alertname": "Watchdog"}, ("nobody",)),
        ({"alertname": "NotWatchdog"}, ("people",)),
    ],
)
def test_an_alert_reaches(labels: dict[str, str], reached: tuple[str, ...]) -> None:
    assert receivers(TREE, labels) == reached
