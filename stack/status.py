"""How everything stands now, at a glance: the bands of every metric, incidents, runs, governance."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp

from catalog.config import GraceConfig
from catalog.model import Catalog
from remediator.bands import MetricNow, queries, rows
from remediator.credentials import Credentials
from remediator.errors import GraceError
from remediator.peer import Peer
from remediator.prometheus import Prometheus, Sample

TIMEOUT = 5.0
SHOWN = 50
"""Newest incidents and runs that are asked for."""


@dataclass(frozen=True, slots=True)
class Status:
    """What Prometheus and the remediator say. What one of them could not be asked is empty, and a problem says why."""

    metrics: tuple[MetricNow, ...]
    incidents: tuple[Mapping[str, Any], ...]
    runs: tuple[Mapping[str, Any], ...]
    governance: Mapping[str, Any]
    approvals_pending: int
    problems: tuple[str, ...]
    reached: int
    """How many of the two answered."""

    def as_json(self) -> dict[str, Any]:
        return {
            "metrics": [asdict(metric) for metric in self.metrics],
            "incidents": [dict(incident) for incident in self.incidents],
            "runs": [dict(run) for run in self.runs],
            "governance": dict(self.governance),
            "approvals_pending": self.approvals_pending,
            "problems": list(self.problems),
        }


class StatusReader:
    """Asks Prometheus and the remediator that a configuration names, as often as it is called."""

    def __init__(self, config: GraceConfig, catalog: Catalog, http: aiohttp.ClientSession) -> None:
        self._metrics = catalog.scaled(config.time_scale).enabled
        self._prometheus = Prometheus(http, config.prometheus.url, TIMEOUT)
        token = config.data_dir / "tokens" / "admin"
        credentials = Credentials(bearer_token_file=token if token.exists() else None)
        self._grace = Peer("the remediator", http, config.remediator_url, TIMEOUT, credentials)

    async def read(self) -> Status:
        """How everything stands now. Never raises for a part that does not answer: that is a problem in the status."""
        metrics, overview, incidents, runs = await asyncio.gather(
            self._bands(), self._ask("/api/v1/status"), self._items("incidents"), self._items("runs")
        )
        problems = [found for found in (metrics, overview, incidents, runs) if isinstance(found, GraceError)]
        told = {} if isinstance(overview, GraceError) else overview
        return Status(
            metrics=rows(self._metrics, () if isinstance(metrics, GraceError) else metrics),
            incidents=() if isinstance(incidents, GraceError) else incidents,
            runs=() if isinstance(runs, GraceError) else runs,
            governance=_mapping(told.get("governance")),
            approvals_pending=_mapping(told.get("autonomy")).get("approvals_pending") or 0,
            problems=tuple(dict.fromkeys(map(str, problems))),
            reached=(not isinstance(metrics, GraceError)) + (not isinstance(overview, GraceError)),
        )

    async def _bands(self) -> tuple[Sample, ...] | GraceError:
        try:
            answers = await asyncio.gather(*(self._prometheus.instant(query) for query in queries(self._metrics)))
        except GraceError as error:
            return error
        return tuple(sample for answer in answers for sample in answer)

    async def _ask(self, path: str) -> Mapping[str, Any] | GraceError:
        try:
            return _mapping(await self._grace.ask("GET", path))
        except GraceError as error:
            return error

    async def _items(self, kind: str) -> tuple[Mapping[str, Any], ...] | GraceError:
        answer = await self._ask(f"/api/v1/{kind}?limit={SHOWN}")
        return answer if isinstance(answer, GraceError) else tuple(answer.get("items") or ())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
