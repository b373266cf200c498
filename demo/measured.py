"""What Prometheus says of a metric now: the same series that raise its alerts."""

from __future__ import annotations

import json

import aiohttp

from catalog.model import MetricCatalogEntry

BANDS = ("good", "warning", "critical")


class Measured:
    """Asks one Prometheus. Every method answers None where it cannot be asked, or has no fresh measurement."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url.rstrip("/")

    async def band(self, metric: MetricCatalogEntry, resource: str) -> str | None:
        """The band of the newest measurement: good, warning or critical; None also while the metric is idle."""
        series = f'resource:grace_band:sample{{metric_id="{metric.id}",resource="{resource}"}}'
        found = await self._ask(f"last_over_time({series}[{int(metric.interval * 1500)}ms])")
        return None if found is None else BANDS[int(found)]

    async def _ask(self, query: str) -> float | None:
        try:
            async with self._http.get(
                f"{self._url}/api/v1/query", params={"query": query}, timeout=aiohttp.ClientTimeout(total=10)
            ) as answer:
                result = (await answer.json())["data"]["result"]
                return float(result[0]["value"][1]) if result else None
        except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError, KeyError, IndexError, ValueError, TypeError):
            return None
