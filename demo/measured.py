"""What Prometheus says of a metric now: the same series that raise its alerts."""

from __future__ import annotations

import json

import aiohttp

from catalog.model import MetricCatalogEntry

LOOK_BACK = 60.0
"""Seconds of good measurements that are waited for, at most."""


class Measured:
    """Asks one Prometheus."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url.rstrip("/")

    async def calm(self, metric: MetricCatalogEntry, resource: str) -> bool:
        """Is the metric's window, or its last minute, full of good measurements? They count together with a fault.

        False also while the metric is idle, has no fresh measurement, or cannot be asked.
        """
        series = f'resource:grace_band:sample{{metric_id="{metric.id}",resource="{resource}"}}'
        fresh = f"last_over_time({series}[{_milliseconds(1.5 * metric.interval)}])"
        span = max(min(metric.window, LOOK_BACK), 1.5 * metric.interval)
        window = f"{series}[{_milliseconds(span)}]"
        # One may be missing: an evaluation is late, now and then.
        full = f"count_over_time({window}) >= {int(span / metric.interval) - 1}"
        return await self._ask(f"max_over_time({window}) and {fresh} and {full}") == 0.0

    async def _ask(self, query: str) -> float | None:
        try:
            async with self._http.get(
                f"{self._url}/api/v1/query", params={"query": query}, timeout=aiohttp.ClientTimeout(total=10)
            ) as answer:
                result = (await answer.json())["data"]["result"]
                return float(result[0]["value"][1]) if result else None
        except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError, KeyError, IndexError, ValueError, TypeError):
            return None


def _milliseconds(seconds: float) -> str:
    return f"{int(seconds * 1000)}ms"
