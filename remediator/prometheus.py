"""What Prometheus says, asked over its HTTP API."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from catalog.model import Band
from remediator.credentials import Credentials
from remediator.errors import GraceError, Permanent, Transient
from remediator.peer import Peer
from remediator.promql import duration, quoted, selector

__all__ = ["Measurement", "Prometheus", "Sample", "Series", "duration", "quoted", "selector"]

VALUE = "resource:grace_value:sample"
BAND = "resource:grace_band:sample"


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series. `at` is epoch seconds, as Prometheus evaluated it; `value` may be NaN or infinite."""

    labels: Mapping[str, str]
    value: float
    at: float


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one series over time: (epoch seconds, value), oldest first."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One reading of a metric on a resource: when, its value in Prometheus base units, and the band it lay in."""

    at: float
    value: float
    band: Band | None
    """None where no band was recorded with it (not a number, or the rules changed at that moment)."""


class Prometheus:
    """Asks one Prometheus server. Times are epoch seconds, `timeout` seconds.

    Every method raises Transient when Prometheus is away or overloaded, and Permanent when it refuses the query.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        timeout: float = 10.0,
        credentials: Credentials = Credentials(),  # noqa: B008 - frozen
    ) -> None:
        self._peer = Peer("Prometheus", session, url, timeout, credentials)
        self._timeout = timeout

    @property
    def url(self) -> str:
        return self._peer.url

    async def instant(self, query: str, at: float | None = None) -> tuple[Sample, ...]:
        """The instant vector (or scalar, as one sample without labels) that a query gives now, or at `at`."""
        kind, result = await self._query(query, at)
        if kind == "scalar":
            moment, value = _point(result)
            return (Sample({}, value, moment),)
        if kind != "vector":
            raise Permanent(f"the query gives a {kind}, an instant vector is needed")
        return tuple(Sample(_labels(item), *reversed(_point(item.get("value")))) for item in result)

    async def matrix(self, query: str, at: float | None = None) -> tuple[Series, ...]:
        """The raw samples that a range selector (`x[5m]`) holds now, or at `at`, with their own timestamps."""
        kind, result = await self._query(query, at)
        if kind != "matrix":
            raise Permanent(f"the query gives a {kind}, a range selector such as x[5m] is needed")
        return tuple(_series(item) for item in result)

    async def range(self, query: str, start: float, end: float, step: float) -> tuple[Series, ...]:
        """A query evaluated every `step` seconds from `start` to `end`."""
        form = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        kind, result = await self._ask("/api/v1/query_range", form)
        if kind != "matrix":
            raise Permanent(f"Prometheus answered a range query with a {kind}")
        return tuple(_series(item) for item in result)

    async def measurements(self, metric_id: str, resource: str, since: float, until: float) -> tuple[Measurement, ...]:
        """Every measurement of a metric on a resource with since ≤ at ≤ until, oldest first; empty when there is none.

        One evaluation of the metric's rule group is one measurement, known by its timestamp.
        """
        if until < since:
            return ()
        # One query for both, so that they are of one moment. A millisecond more, because Prometheus 3 leaves out the
        # left edge of a range and Prometheus 2 does not; what lies before `since` is dropped here.
        both = f'{{__name__=~"{VALUE}|{BAND}",metric_id={quoted(metric_id)},resource={quoted(resource)}}}'
        values: dict[float, float] = {}
        bands: dict[float, Band] = {}
        for series in await self.matrix(f"{both}[{duration(until - since + 0.002)}]", until):
            for at, value in series.points:
                if not since <= at <= until or not math.isfinite(value):
                    continue
                if series.labels.get("__name__") == VALUE:
                    values[at] = value
                else:
                    bands[at] = _BANDS[min(max(int(value), 0), 2)]
        return tuple(Measurement(at, values[at], bands.get(at)) for at in sorted(values))

    async def reachable(self) -> bool:
        """Does it answer queries now?"""
        try:
            await self.instant("vector(1)")
        except GraceError:
            return False
        return True

    async def _query(self, query: str, at: float | None) -> tuple[str, Any]:
        form = {"query": query} if at is None else {"query": query, "time": f"{at:.3f}"}
        return await self._ask("/api/v1/query", form)

    async def _ask(self, path: str, form: Mapping[str, str]) -> tuple[str, Any]:
        # Its own limit a little below ours, so that it stops working on what nobody waits for.
        limited = {**form, "timeout": f"{max(0.1, self._timeout * 0.9):.3f}"}
        document = await self._peer.ask("POST", path, form=limited)
        try:
            if document["status"] != "success":
                raise Transient(f"Prometheus answered {document['status']!r}")
            return document["data"]["resultType"], document["data"]["result"]
        except (TypeError, KeyError) as error:
            raise Permanent("the answer is not Prometheus's: is prometheus.url right?") from error


_BANDS = (Band.GOOD, Band.WARNING, Band.CRITICAL)


def _labels(item: Any) -> Mapping[str, str]:
    labels: Mapping[str, str] = item["metric"]
    return labels


def _point(pair: Any) -> tuple[float, float]:
    try:
        at, value = pair
        return float(at), float(value)
    except (TypeError, ValueError) as error:
        # A native histogram has `histogram` where others have `value`.
        raise Permanent("the query gives something other than plain numbers") from error


def _series(item: Any) -> Series:
    return Series(_labels(item), tuple(_point(pair) for pair in item.get("values", ())))
