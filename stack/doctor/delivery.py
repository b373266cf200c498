"""Does an alert really arrive? One is sent, seen by the remediator, and resolved, as real ones are."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import yaml

from remediator.pipeline.notice import TEST_ALERT
from stack.doctor.setup import Finding, Setup, wrong
from stack.routes import Route, walk

LEEWAY = 10.0
"""Seconds beyond the route's own waiting that a notification may take."""
PEER_WAIT = 15.0
"""Seconds that each Alertmanager of a cluster waits for every one before it: Alertmanager's own default."""
LONGEST_INTERVAL = 60.0
"""Seconds of `group_interval` from which on what is resolved is told too late to be waited for."""
POLL = 0.5
RECENT = 200
"""Audit entries that are looked through, the newest ones."""


async def delivered(setup: Setup) -> AsyncIterator[Finding]:
    """A test alert, whose name no playbook answers, goes the whole way; so does its end."""
    status = await setup.alertmanager.ask("GET", "/api/v2/status")
    config = yaml.safe_load(status["config"]["original"])
    leeway = LEEWAY + PEER_WAIT * max(0, len(status["cluster"].get("peers") or ()) - 1)
    labels = {"alertname": TEST_ALERT, "grace": "true", "severity": "warning", "resource": secrets.token_hex(6)}
    taken = next(
        (each for each in walk(config["route"], labels) if each.receiver == setup.config.alertmanager.receiver), None
    )
    if taken is None:
        return  # the check of the route says so
    hook = _hook(config, taken)
    url = hook.get("url", "its webhook")
    began = setup.clock.now()
    await _send(setup, labels, began)
    try:
        patience = taken.group_wait + leeway
        if not await _seen(setup, labels, "firing", patience):
            yield wrong(
                f"a test alert did not come to the remediator within {patience:.0f} s",
                f"Alertmanager's log says why it cannot post to {url}: the url must lead to the remediator from where "
                "Alertmanager runs, under a name of `hosts:`, and its credentials_file hold what is in "
                f"{setup.config.data_dir / 'tokens' / 'alertmanager'}",
            )
            return
    finally:
        await _send(setup, labels, began, setup.clock.now())
    if taken.group_interval > LONGEST_INTERVAL:
        yield wrong(
            f"what is resolved is told only after {taken.group_interval:.0f} s",
            f"set group_interval: 30s on the route to {taken.receiver!r}",
        )
    elif not await _seen(setup, labels, "resolved", taken.group_interval + leeway):
        yield wrong(
            "the test alert arrived, but not that it was resolved",
            f"set send_resolved: true on receiver {taken.receiver!r}"
            if hook.get("send_resolved") is False
            else f"Alertmanager's log says why it could not post to {url} again",
        )


def _hook(config: Mapping[str, Any], taken: Route) -> Mapping[str, Any]:
    """The webhook of the route's receiver, as its configuration has it; empty where it has none."""
    receiver = next(each for each in config["receivers"] if each["name"] == taken.receiver)
    hooks: list[Mapping[str, Any]] = receiver.get("webhook_configs") or [{}]
    return hooks[0]


async def _send(setup: Setup, labels: Mapping[str, str], began: float, ended: float | None = None) -> None:
    alert: dict[str, Any] = {
        "labels": dict(labels),
        "annotations": {"summary": "sent by `grace doctor`; nothing is done about it"},
        "startsAt": _time(began),
    }
    if ended is not None:
        # Before there was an end Alertmanager set one of its own, and such a one gives way to this, even where its
        # clock is behind ours and this is still to come.
        alert["endsAt"] = _time(ended)
    await setup.alertmanager.ask("POST", "/api/v2/alerts", document=[alert])


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


async def _seen(setup: Setup, labels: Mapping[str, str], status: str, patience: float) -> bool:
    deadline = setup.clock.now() + patience
    while True:
        entries = (await setup.remediator.ask("GET", f"/api/v1/audit?limit={RECENT}"))["items"]
        if any(_is(entry, labels, status) for entry in entries):
            return True
        if setup.clock.now() >= deadline:
            return False
        await setup.clock.sleep(POLL)


def _is(entry: Mapping[str, Any], labels: Mapping[str, str], status: str) -> bool:
    """Only what was posted counts. What the remediator found by asking Alertmanager proves nothing about the webhook;
    and an alert that ends before its first notification is never told of at all.
    """
    body = entry["body"]
    return bool(
        entry["kind"] == "alert_received"
        and body["source"] == "webhook"
        and body["resource"] == labels["resource"]
        and body["status"] == status
    )
