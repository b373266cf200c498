"""Do alerts reach Alertmanager, and from there Grace?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import yaml

from catalog.model import MetricCatalogEntry
from stack.doctor.setup import Finding, Setup, wrong
from stack.routes import receivers

BUILD = "`grace rules build` writes alertmanager/fragment.yml: add that to alertmanager.yml"


async def alerting(setup: Setup) -> AsyncIterator[Finding]:
    """Prometheus knows Alertmanager."""
    answer = await setup.prometheus.ask("GET", "/api/v1/alertmanagers")
    if not answer["data"]["activeAlertmanagers"]:
        yield wrong("Prometheus sends its alerts nowhere", "add Alertmanager to `alerting:` in prometheus.yml")


async def route(setup: Setup) -> AsyncIterator[Finding]:
    """Alertmanager sends every metric's alerts to Grace's webhook, with what is resolved, in full, and with a token."""
    status = await setup.alertmanager.ask("GET", "/api/v2/status")
    config = yaml.safe_load(status["config"]["original"])
    name = setup.config.alertmanager.receiver
    receiver = next((one for one in config.get("receivers") or () if one.get("name") == name), None)
    if receiver is None or not receiver.get("webhook_configs"):
        yield wrong(f"Alertmanager has no receiver {name!r} with a webhook", BUILD)
        return
    lost = [metric for metric in setup.catalog.enabled if name not in receivers(config["route"], _labels(metric))]
    if lost:
        yield wrong(f"alerts of {lost[0].id} are not routed to receiver {name!r}", BUILD)
    hook = receiver["webhook_configs"][0]
    if hook.get("send_resolved") is False:
        yield wrong(f"receiver {name!r} does not send what is resolved", "set send_resolved: true")
    if hook.get("max_alerts"):
        yield wrong(f"receiver {name!r} cuts payloads at {hook['max_alerts']} alerts", "set max_alerts: 0")
    if not (hook.get("http_config") or {}).get("authorization"):
        yield wrong(f"receiver {name!r} sends no token", "set http_config.authorization.credentials_file")


def _labels(metric: MetricCatalogEntry) -> Mapping[str, str]:
    return {
        "alertname": metric.alertname,
        "severity": "critical",
        "metric_id": metric.id,
        "category": metric.category.value,
        "resource": "any",
        "grace": "true",
    }
