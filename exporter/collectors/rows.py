"""What `sql` and `http` have in common: rows, each about one resource, some of whose places are series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import Field

from catalog.document import Where
from catalog.model import Catalog, Frozen
from exporter.collectors.base import underived, unknown_metrics
from exporter.families import SERIES_NAME, Measured, Reading, Sample, family, labels_of

MAX_ROWS = 10_000
"""Rows of an answer that are read; more are an error, as no metric has so many resources."""


class RowsConfig(Frozen):
    """Where in a row the values, by series name, and the labels, by label name, stand."""

    metric_ids: tuple[str, ...] = Field(min_length=1)
    """The metrics that are measured."""
    values: Mapping[str, str] = Field(min_length=1)
    labels: Mapping[str, str] = Field(default_factory=dict)
    resource: str | None = None
    """What all rows are about, where they do not name it each."""


def rows_faults(
    config: RowsConfig, what: str, other: tuple[str, str | None], catalog: Catalog, where: Where
) -> Iterator[tuple[Where, str]]:
    """What does not fit the catalog; `other` is the key that may name the resource in each row, and what it says."""
    key, said = other
    yield from unknown_metrics(config.metric_ids, catalog, (*where, "metric_ids"))
    if (config.resource is None) == (said is None):
        yield where, f'one of "resource" and "{key}" is needed'
    for name, fault in underived(what, config.metric_ids, config.values, catalog):
        yield (*where, "values", name), fault
    for name in config.labels:
        if not SERIES_NAME.match(name) or name == "resource":
            yield (*where, "labels", name), "this cannot be the name of a label here"


class Rows:
    """Gathers what rows say. What is measured on the `resource` of all rows is measured also where there is none."""

    def __init__(self, series: Iterable[str], metric_ids: Sequence[str], resource: str | None) -> None:
        self._samples: dict[str, list[Sample]] = {name: [] for name in series}
        self._metric_ids = metric_ids
        self._resources: set[str] = set() if resource is None else {resource}

    def add(self, resource: object, labels: Mapping[str, object], values: Mapping[str, float | None]) -> None:
        """One row. None is no value."""
        found = labels_of({**labels, "resource": resource})
        self._resources.add(str(resource))
        for name, value in values.items():
            if value is not None:
                self._samples[name].append(Sample(found, value))

    def reading(self) -> Reading:
        """All of them."""
        measured = frozenset(Measured(each, resource) for each in self._metric_ids for resource in self._resources)
        return Reading(tuple(family(name, rows) for name, rows in self._samples.items() if rows), measured)
