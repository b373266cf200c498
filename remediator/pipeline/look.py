"""Looking at a metric through Prometheus: is it in the band, has it healed, what did its window look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from catalog.model import Band, MetricCatalogEntry
from remediator.errors import GraceError, Permanent
from remediator.governance.facts import Evidence
from remediator.pipeline.parts import Parts
from remediator.pipeline.subject import BoundAlert, measurements
from remediator.prometheus import Measurement, duration, selector

FRESH = 2.5
"""A measurement is fresh for this many intervals."""
NEEDED = 3
"""Measurements that make a proof, in either direction."""


@dataclass(frozen=True, slots=True)
class Look:
    """What Prometheus says about one metric on one resource, at one moment."""

    evidence: Evidence
    share: float
    """0-1: how much of the evidence lies in the band or worse."""
    measurements: tuple[Measurement, ...]
    side: Literal["high", "low"] | None
    note: str
    """One sentence for people."""
    snapshot: Mapping[str, Any]

    @property
    def good(self) -> bool:
        """Are the newest three measurements, all fresh, good?"""
        newest = self.measurements[-NEEDED:]
        return self.evidence is not Evidence.UNREACHABLE and len(newest) == NEEDED and _all_below(newest, Band.WARNING)


async def look(parts: Parts, metric: MetricCatalogEntry, resource: str, band: Band) -> Look:
    """The evidence for `band` now. Never raises: what cannot be asked is `unreachable`, with the reason in `note`.

    Critical rests on the last three measurements, warning on the window (the alert's own rule must say so too); a
    bound alert, whose window is not ours, on its last three.
    Under `evidence: trust_alert` the alert's word stands in for what Prometheus does not confirm.
    """
    seen = await _asked(parts, metric, resource, band)
    if parts.policy.evidence == "trust_alert" and seen.evidence is not Evidence.CONFIRMED:
        return replace(seen, evidence=Evidence.TRUSTED, share=1.0)
    return seen


async def _asked(parts: Parts, metric: MetricCatalogEntry, resource: str, band: Band) -> Look:
    now = parts.clock.now()
    try:
        measured = await measurements(parts, metric, resource, now - max(metric.window, 3.5 * metric.interval), now)
        severity = await _severity(parts, metric, resource)
    except GraceError as error:
        return Look(Evidence.UNREACHABLE, 0.0, (), None, f"Prometheus could not be asked: {error}", {})
    snapshot = summary(metric, measured)
    if isinstance(metric, BoundAlert) and metric.verify is None:
        return Look(Evidence.ABSENT, 0.0, (), None, "its binding has no verify expression, so nothing confirms it", {})
    if not measured or measured[-1].at < now - FRESH * metric.interval:
        age = f"the newest is {now - measured[-1].at:.0f} s old" if measured else "there is none"
        return Look(Evidence.UNREACHABLE, 0.0, measured, None, f"no fresh measurement of {metric.id}: {age}", snapshot)
    newest = measured[-NEEDED:]
    by_newest = band is Band.CRITICAL or isinstance(metric, BoundAlert)
    basis = newest if by_newest else measured
    inside = sum(1 for each in basis if each.band is not None and each.band.rank >= band.rank)
    share = inside / max(len(basis), NEEDED if by_newest else 1)
    lately = any(each.band is not None and each.band.rank >= band.rank for each in newest)
    confirmed = lately and severity >= band.rank
    side = metric.bands.side(people_value(metric, measured[-1].value))
    last = shown(metric, measured[-1].value)
    note = f"{inside} of {len(basis)} measurements are {band.value} or worse; the last is {last}"
    return Look(Evidence.CONFIRMED if confirmed else Evidence.ABSENT, share, measured, side, note, snapshot)


async def since(parts: Parts, metric: MetricCatalogEntry, resource: str, moment: float) -> tuple[Measurement, ...]:
    """Measurements after a moment, oldest first. Raises Transient or Permanent."""
    now = parts.clock.now()
    return await measurements(parts, metric, resource, moment + 0.001, now)


def healed(metric: MetricCatalogEntry, measured: Sequence[Measurement], opened: Band) -> bool:
    """Three fresh measurements in good, or below the band that opened the incident for the whole healthy delay."""
    if len(measured) < NEEDED:
        return False
    if _all_below(measured[-NEEDED:], Band.WARNING):
        return True
    delay = max(metric.window, NEEDED * metric.interval)
    lately = [each for each in measured if each.at >= measured[-1].at - delay]
    return measured[-1].at - measured[0].at >= delay and _all_below(lately, opened)


def verify_time(metric: MetricCatalogEntry) -> float:
    """Seconds after which a change has not helped: three intervals and the window, one interval to spare."""
    return (NEEDED + 1) * metric.interval + metric.window


def people_value(metric: MetricCatalogEntry, value: float) -> float:
    """A value in base units, in the metric's own unit."""
    return round(value / float(metric.unit.factor), 6)


def shown(metric: MetricCatalogEntry, value: float) -> str:
    return f"{people_value(metric, value):g} {metric.unit_label}"


def summary(metric: MetricCatalogEntry, measured: Sequence[Measurement]) -> dict[str, Any]:
    """The snapshot that is kept: minimum, maximum, average, p95, count and count per band, in the metric's unit."""
    values = sorted(people_value(metric, each.value) for each in measured)
    bands = {band.value: sum(1 for each in measured if each.band is band) for band in Band}
    if not values:
        return {"unit": metric.unit_label, "window_seconds": metric.window, "count": 0, "bands": bands}
    return {
        "unit": metric.unit_label,
        "window_seconds": metric.window,
        "count": len(values),
        "min": values[0],
        "max": values[-1],
        "avg": round(sum(values) / len(values), 6),
        "p95": values[max(0, -(-len(values) * 95 // 100) - 1)],
        "last": people_value(metric, measured[-1].value),
        "bands": bands,
    }


async def heat(parts: Parts, metric: MetricCatalogEntry) -> dict[str, float]:
    """The latest fresh value of every resource of a metric: how hot each is. Raises Transient or Permanent."""
    series = selector("resource:grace_value:sample", metric_id=metric.id)
    query = f"last_over_time({series}[{duration(FRESH * metric.interval)}])"
    return {sample.labels.get("resource", ""): sample.value for sample in await parts.prometheus.instant(query)}


async def _severity(parts: Parts, metric: MetricCatalogEntry, resource: str) -> int:
    """What the metric's own alert rule says now: 0 nothing, 1 warning, 2 critical. A bound alert's rule is not ours."""
    if isinstance(metric, BoundAlert):
        return Band.CRITICAL.rank
    series = selector("resource:grace_alert:severity", metric_id=metric.id, resource=resource)
    found = await parts.prometheus.instant(f"last_over_time({series}[{duration(1.5 * metric.interval)}])")
    if len(found) > 1:
        raise Permanent(f"{len(found)} series answer for one metric and resource; exactly one is expected")
    return int(found[0].value) if found else 0


def _all_below(measured: Sequence[Measurement], band: Band) -> bool:
    return all(each.band is not None and each.band.rank < band.rank for each in measured)
