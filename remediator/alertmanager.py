"""What Alertmanager holds, asked over its HTTP API (v2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import aiohttp

from remediator.credentials import Credentials
from remediator.errors import GraceError, Permanent
from remediator.peer import Peer
from remediator.webhook.timestamp import Timestamp, parse_timestamp

Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class HeldAlert:
    """One alert as Alertmanager holds it now."""

    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts: Timestamp
    ends: Timestamp
    """When it ends unless it is sent again: in the future while it fires."""
    state: Literal["active", "suppressed", "unprocessed"]
    silenced_by: tuple[str, ...]
    inhibited_by: tuple[str, ...]
    receivers: tuple[str, ...]

    @property
    def starts_at(self) -> float:
        """Epoch seconds at which it began to fire, to the millisecond."""
        return self.starts.coarse.seconds

    @property
    def key(self) -> str:
        """What `webhook.payload.Alert.key` is when this alert is delivered firing."""
        return f"{self.fingerprint}/{self.starts.coarse.utc}/firing"


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence: what it matches, when (epoch seconds), who made it and why."""

    id: str
    state: Literal["active", "pending", "expired"]
    matchers: tuple[Mapping[str, Any], ...]
    starts_at: float
    ends_at: float
    created_by: str
    comment: str


@dataclass(frozen=True, slots=True)
class AlertmanagerStatus:
    """`up_since` is epoch seconds: an alert absent from a young Alertmanager may just not have been sent again yet."""

    up_since: float
    version: str
    cluster: str
    """`ready`, `settling` or `disabled`."""


class Alertmanager:
    """Asks one Alertmanager. Raises Transient when it is away or overloaded, Permanent when it refuses."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        timeout: float = 10.0,
        credentials: Credentials = Credentials(),  # noqa: B008 - frozen
    ) -> None:
        self._peer = Peer("Alertmanager", session, url, timeout, credentials)

    @property
    def url(self) -> str:
        return self._peer.url

    async def alerts(self, receiver: str) -> tuple[HeldAlert, ...]:
        """Alerts routed to this receiver (its exact name) that have not ended: firing, silenced or inhibited."""
        params = {
            "receiver": re.escape(receiver),  # anchored by Alertmanager
            "active": "true",
            "silenced": "true",
            "inhibited": "true",
            "unprocessed": "true",
        }
        found = _items(await self._peer.ask("GET", "/api/v2/alerts", params=params))
        return tuple(alert for alert in (_read(_held, item) for item in found) if receiver in alert.receivers)

    async def status(self) -> AlertmanagerStatus:
        """Since when it runs, its version and the state of its cluster."""
        return _read(_status, await self._peer.ask("GET", "/api/v2/status"))

    async def silences(self) -> tuple[Silence, ...]:
        """All silences it remembers, expired ones included."""
        return tuple(_read(_silence, item) for item in _items(await self._peer.ask("GET", "/api/v2/silences")))

    async def post_alerts(self, alerts: Iterable[Mapping[str, Any]]) -> None:
        """Send alerts as Prometheus does: `labels`, and optionally `annotations, startsAt, endsAt, generatorURL`."""
        await self._peer.ask("POST", "/api/v2/alerts", document=list(alerts))

    async def reachable(self) -> bool:
        """Does it answer now?"""
        try:
            await self.status()
        except GraceError:
            return False
        return True


def _items(document: Any) -> list[Any]:
    if not isinstance(document, list):
        raise Permanent("the answer is not Alertmanager's: is alertmanager.url right?")
    return document


def _read(reader: Callable[[Any], Parsed], item: Any) -> Parsed:
    try:
        return reader(item)
    except (KeyError, TypeError, ValueError) as error:
        raise Permanent("the answer is not Alertmanager's: is alertmanager.url right?") from error


def _held(item: Any) -> HeldAlert:
    return HeldAlert(
        fingerprint=item["fingerprint"],
        labels=item["labels"],
        annotations=item["annotations"],
        starts=parse_timestamp(item["startsAt"]),
        ends=parse_timestamp(item["endsAt"]),
        state=item["status"]["state"],
        silenced_by=tuple(item["status"]["silencedBy"]),
        inhibited_by=tuple(item["status"]["inhibitedBy"]),
        receivers=tuple(receiver["name"] for receiver in item["receivers"]),
    )


def _silence(item: Any) -> Silence:
    return Silence(
        id=item["id"],
        state=item["status"]["state"],
        matchers=tuple(item["matchers"]),
        starts_at=parse_timestamp(item["startsAt"]).seconds,
        ends_at=parse_timestamp(item["endsAt"]).seconds,
        created_by=item["createdBy"],
        comment=item["comment"],
    )


def _status(document: Any) -> AlertmanagerStatus:
    return AlertmanagerStatus(
        up_since=parse_timestamp(document["uptime"]).seconds,
        version=document["versionInfo"]["version"],
        cluster=document["cluster"]["status"],
    )
