"""What an incident is about: a metric of the catalog, or a team's own alert that a binding ties to playbooks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

from catalog.model import (
    Aggregate,
    Bands,
    Binding,
    Catalog,
    Category,
    Edges,
    Empty,
    Gauge,
    MetricCatalogEntry,
    Response,
    Responses,
    Source,
    Unit,
)
from remediator.pipeline.parts import Parts
from remediator.prometheus import Measurement, Series

PREFIX = "alert."
"""Begins the `metric_id` of incidents about bound alerts: `alert.HostDown`."""
BOUND = "bound"
"""Category of those incidents."""
INTERVAL = 30.0
"""Seconds between two evaluations of a binding's `verify`: its measurements."""
WINDOW = 300.0


class BoundAlert(MetricCatalogEntry):
    """A bound alert, as stages see a metric: its value is 1 while `verify` gives something for it, else 0."""

    verify: str | None = None
    labels: Mapping[str, str] = {}


def binding_of(catalog: Catalog, labels: Mapping[str, str]) -> Binding | None:
    """The first binding that matches an alert's labels."""
    return next((binding for binding in catalog.bindings if binding.matches(labels)), None)


def bound_id(labels: Mapping[str, str]) -> str:
    return f"{PREFIX}{labels.get('alertname', '')}"


def bound_resource(labels: Mapping[str, str], fingerprint: str) -> str:
    """What a bound alert is about: its `resource`, its `instance`, or the alert itself."""
    return labels.get("resource") or labels.get("instance") or fingerprint


def subject_of(catalog: Catalog, metric_id: str, labels: Mapping[str, str]) -> MetricCatalogEntry | None:
    """The metric, or the bound alert, that an incident is about; None when the catalog no longer knows it."""
    if not metric_id.startswith(PREFIX):
        return catalog.metrics.get(metric_id)
    binding = binding_of(catalog, labels)
    return None if binding is None else _bound(binding, labels)


def _bound(binding: Binding, labels: Mapping[str, str]) -> BoundAlert:
    answers = tuple(Response(kind="playbook", name=name) for name in binding.playbooks)
    half = Edges(warning=Decimal("0.5"), critical=Decimal("0.5"))
    # A stranger chose the alert's name: it stands in the id, and is not held to the catalog's spelling.
    return BoundAlert.model_construct(
        id=bound_id(labels),
        title=labels.get("alertname", ""),
        description="",
        category=Category.INFRA,
        unit=Unit.COUNT,
        unit_label="firing",
        enabled=True,
        interval=INTERVAL,
        window=WINDOW,
        resource_is="alert",
        source=Source(collector="prometheus"),
        derive=Gauge(series="ALERTS"),
        aggregate=Aggregate.MAX,
        empty=Empty.ZERO,
        bands=Bands(high=half),
        warning=Responses(high=answers, low=answers),
        critical=Responses(high=answers, low=answers),
        verify=binding.verify,
        labels=labels,
    )


async def measurements(
    parts: Parts, subject: MetricCatalogEntry, resource: str, since: float, until: float
) -> tuple[Measurement, ...]:
    """The subject's measurements from `since` to `until`, oldest first. Raises Transient or Permanent."""
    if not isinstance(subject, BoundAlert):
        return await parts.prometheus.measurements(subject.id, resource, since, until)
    first, last = math.ceil(since / INTERVAL), math.floor(until / INTERVAL)
    if subject.verify is None or last < first:
        return ()
    found = await parts.prometheus.range(subject.verify, first * INTERVAL, last * INTERVAL, INTERVAL)
    firing = {round(at) for series in found if _about(series, subject.labels) for at, value in series.points if value}
    return tuple(
        Measurement(at, value, subject.bands.of(value))
        for step in range(first, last + 1)
        for at in (step * INTERVAL,)
        for value in (1.0 if round(at) in firing else 0.0,)
    )


def _about(series: Series, labels: Mapping[str, str]) -> bool:
    """Is this series about the same thing as the alert: do the labels that both have agree?"""
    return all(labels[name] == value for name, value in series.labels.items() if name in labels and name != "__name__")
