"""How Grafana writes the values of a metric: recorded series are in Prometheus base units, whatever people think in."""

from __future__ import annotations

from catalog.model import MetricCatalogEntry, Unit

SECONDS = "s"
RATIO = "percentunit"
BYTES = "bytes"
COUNT = "short"
SINCE = "dateTimeFromNow"
PER_SECOND = "cps"

_OF_BASE = {Unit.SECONDS: SECONDS, Unit.RATIO: RATIO, Unit.COUNT: COUNT}


def unit_of(metric: MetricCatalogEntry) -> str:
    """Grafana's unit id for the metric's recorded series; the catalog's own words where Grafana has no unit for it."""
    return _OF_BASE.get(metric.unit.base) or f"suffix: {metric.unit_label}"
