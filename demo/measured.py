"""What Prometheus says of a metric now: the same series that raise its alerts."""

from __future__ import annotations

import json

import aiohttp

from catalog.model import MetricCatalogEntry


class Measured:
    """Asks one Prometheus."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url.rstrip("/")

    async def calm(self, metric: MetricCatalogEntry, resource: str) -> bool:
        """Are the newest measurement and all others of the metric's window good? What was not would count with a fault.

        False also while the metric is idle, has no fresh measurement, or cannot be asked.
        """
        series = f'resource:grace_band:sample{{metric_id="{metric.id}",resource="{resource}"}}'
        fresh = f"last_over_time({series}[{int(metric.interval * 1500)}ms])"
        window = f"max_over_time({series}[{int(max(metric.window, metric.interval * 1.5) * 1000)}ms])"
        return await self._ask(f"{window} and {fresh}") == 0.0

    async def _ask(self, query: str) -> float | None:
        try:
            async with self._http.get(
                f"{self._url}/api/v1/query", params={"query": query}, timeout=aiohttp.ClientTimeout(total=10)
            ) as answer:
                result = (await answer.json())["data"]["result"]
                return float(result[0]["value"][1]) if result else None
        except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError, KeyError, IndexError, ValueError, TypeError):
            return None
