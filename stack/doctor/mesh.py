"""Do the Alertmanagers know each other, and say the same?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from remediator.errors import GraceError
from stack.doctor.setup import Finding, Setup, wrong


async def peers(setup: Setup) -> AsyncIterator[Finding]:
    """Those that Prometheus sends to are one cluster, with one configuration, and Grace's is among them."""
    known = await setup.prometheus.ask("GET", "/api/v1/alertmanagers")
    urls = [str(each["url"]).partition("/api/")[0] for each in known["data"]["activeAlertmanagers"]]
    ours = await setup.alertmanager.ask("GET", "/api/v2/status")
    statuses: dict[str, Any] = {}
    for url in urls:
        try:
            peer = setup.peer(f"the Alertmanager at {url}", url, setup.config.alertmanager)
            statuses[url] = await peer.ask("GET", "/api/v2/status")
        except GraceError as error:
            if len(urls) > 1:
                yield wrong(str(error), "start it; the others tell of every alert until it is back")
    if len(statuses) == len(urls) and urls and not any(_same(ours, each) for each in statuses.values()):
        yield wrong(
            f"Prometheus does not send to the Alertmanager at {setup.config.alertmanager.url}",
            f"set alertmanager.url in grace.yml to one of {', '.join(urls)}",
        )
    for url, status in statuses.items():
        seen = len(status["cluster"].get("peers") or ())
        if seen < len(urls) > 1:
            yield wrong(
                f"the Alertmanager at {url} sees {seen} of {len(urls)}: each tells of every alert by itself",
                "start each with --cluster.peer=HOST:9094 of another",
            )
    if len({status["config"]["original"] for status in statuses.values()}) > 1:
        yield wrong("the Alertmanagers run different configurations", "give all the same file, and reload them")


def _same(one: Any, other: Any) -> bool:
    """Is it the same process? It is told by when it started, to the nanosecond."""
    return bool(one["uptime"] == other["uptime"])
