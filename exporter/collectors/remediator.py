"""Collector `remediator`: the autonomy metrics, which Grace computes from its own ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from catalog.config import FilePath
from catalog.document import Where
from catalog.model import Catalog
from exporter.collectors.base import CollectError, CollectorConfig, Probe, Setting
from exporter.collectors.json_endpoint import JsonEndpoint, url_faults
from exporter.families import Measured, Reading, gauge, labels_of

SERIES_OF = {
    "verified_runs": "grace_autonomy_verified_runs",
    "plan_success_ratio": "grace_autonomy_plan_success_ratio",
    "rollback_ratio": "grace_autonomy_rollback_ratio",
    "autonomy_ratio": "grace_autonomy_ratio",
    "approvals_pending": "grace_autonomy_approvals_pending",
}
MAX_ANSWER = 1024 * 1024
"""Bytes of the status."""


class RemediatorConfig(CollectorConfig):
    collector: Literal["remediator"]
    """The autonomy metrics, which Grace computes from its own ledger."""
    url: str = "http://127.0.0.1:9782/api/v1/status"
    """The remediator's status endpoint."""
    resource: str = "grace"
    """What Grace is called in the catalog's series."""
    token_file: FilePath | None = None
    """A viewer's token, read again at every collection; a remediator on this machine's loopback asks for none."""

    def faults(self, catalog: Catalog) -> Iterator[tuple[Where, str]]:
        yield from super().faults(catalog)
        yield from url_faults(self.url)


class RemediatorCollector:
    def __init__(self, config: RemediatorConfig, setting: Setting) -> None:
        self._config = config
        self._metric_ids = setting.wanted(config.metric_ids)
        self._endpoint = JsonEndpoint(config.url, most_bytes=MAX_ANSWER, token_file=config.token_file)
        pace = setting.pace(self._metric_ids, config)
        self.probes: Sequence[Probe] = (Probe("status", pace, self._collect),) if self._metric_ids else ()

    async def close(self) -> None:
        await self._endpoint.close()

    async def _collect(self) -> Reading:
        autonomy = autonomy_of(await self._endpoint.get())
        labels = labels_of({"resource": self._config.resource})
        families = (gauge(SERIES_OF[key], labels, autonomy[key]) for key in SERIES_OF)
        measured = frozenset(Measured(each, self._config.resource) for each in self._metric_ids)
        return Reading(tuple(family for family in families if family is not None), measured)


def autonomy_of(status: Any) -> Mapping[str, float | None]:
    """The numbers of the status's `autonomy`, None where it says null. Raises CollectError if it is something else."""
    autonomy = status.get("autonomy") if isinstance(status, dict) else None
    if not isinstance(autonomy, dict):
        raise CollectError('the answer has no "autonomy": is it the status of a remediator?')
    for key in SERIES_OF:
        value = autonomy.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise CollectError(f'"autonomy.{key}" is not a number')
    return {key: autonomy.get(key) for key in SERIES_OF}
