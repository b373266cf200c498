"""What Alertmanager says is firing, and whom it tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import aiohttp
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError


class _Named(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str


class _Alert(BaseModel):
    model_config = ConfigDict(extra="ignore")
    labels: dict[str, str]
    startsAt: datetime
    receivers: tuple[_Named, ...]


_ALERTS = TypeAdapter(tuple[_Alert, ...])


@dataclass(frozen=True, slots=True)
class FiringAlert:
    """One active alert: whom Alertmanager tells (names of receivers), and since when it fires (epoch seconds)."""

    metric_id: str
    resource: str
    since: float
    receivers: tuple[str, ...]


class Alerts:
    """Asks one Alertmanager."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url.rstrip("/")

    async def firing(self, alertname: str) -> Sequence[FiringAlert]:
        """The active alerts of this name; none also while Alertmanager cannot be asked."""
        query = {"active": "true", "filter": f'alertname="{alertname}"'}
        try:
            async with self._http.get(
                f"{self._url}/api/v2/alerts", params=query, timeout=aiohttp.ClientTimeout(total=10)
            ) as answer:
                found = _ALERTS.validate_json(await answer.read())
        except (aiohttp.ClientError, TimeoutError, ValidationError):
            return ()
        return [
            FiringAlert(
                alert.labels.get("metric_id", ""),
                alert.labels.get("resource", ""),
                alert.startsAt.timestamp(),
                tuple(receiver.name for receiver in alert.receivers),
            )
            for alert in found
        ]
