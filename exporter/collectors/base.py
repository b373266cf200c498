"""What every collector is: a configuration that makes probes. A probe is the unit of isolation."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import Field

from catalog.document import Where
from catalog.fault import did_you_mean, shown
from catalog.model import Catalog, Frozen, Seconds
from exporter.families import Reading, accumulates, raw_series

LEAST_PATIENCE = 3.0
"""Seconds: a value is never withdrawn, nor a collection given up, sooner than this."""

LONGEST_DEADLINE = 10.0
"""Seconds that a collection may take where its configuration says nothing."""


class CollectError(Exception):
    """A collection that failed, in words a person can act on. Never holds a secret.

    `dropped` counts the series that were read and are lost with it.
    """

    def __init__(self, reason: str, dropped: int = 0) -> None:
        super().__init__(reason)
        self.dropped = dropped


class NamedConfig(Frozen):
    """What every collector's configuration begins with."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64)
    """The `collector` label of its own series."""
    interval: Seconds | None = Field(default=None, gt=0)
    """Between collections; by default each metric's own, and the scrape interval for counters and histograms."""
    timeout: Seconds | None = Field(default=None, gt=0, le=300)
    """How long one collection may take; by default its interval, between 3 s and 10 s."""


class CollectorConfig(NamedConfig):
    """Of a collector whose probes all measure the same metrics; others name them for each query, queue or reading."""

    metric_ids: tuple[str, ...] = ()
    """The metrics that it measures."""

    def faults(self, catalog: Catalog) -> Iterator[tuple[Where, str]]:
        """What does not fit the catalog: where (below this collector) and what would be right."""
        yield from unknown_metrics(self.metric_ids, catalog, ("metric_ids",))
        if not self.metric_ids:
            yield (), '"metric_ids" is missing: which metrics does it measure?'


def installed(module: str) -> bool:
    """Whether a module of an optional extra is there."""
    return module in sys.modules or importlib.util.find_spec(module) is not None


def unknown_metrics(metric_ids: Sequence[str], catalog: Catalog, where: Where) -> Iterator[tuple[Where, str]]:
    """A fault for each id that the catalog does not have."""
    known = list(catalog.metrics)
    for index, each in enumerate(metric_ids):
        if each not in catalog.metrics:
            yield (*where, index), f"unknown metric {shown(each)}{did_you_mean(each, known)}"


def underived(
    what: str, metric_ids: Sequence[str], series: Iterable[str], catalog: Catalog
) -> Iterator[tuple[str, str]]:
    """Each of the series that none of these metrics is derived from, and a fault that names `what` would fill it."""
    metrics = [catalog.metrics[each] for each in metric_ids if each in catalog.metrics]
    known = sorted(frozenset[str]().union(*map(raw_series, metrics)))
    for name in series:
        if metrics and name not in known:
            hint = did_you_mean(name, known) or f"; they are derived from {', '.join(known)}"
            yield name, f"no metric of this {what} is derived from {shown(name)}{hint}"


def secret(path: Path, what: str) -> str:
    """The secret that stands in a file, without white space around it. Raises CollectError; its text holds no part."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CollectError(f"the {what} file {path} cannot be read ({type(error).__name__})") from error


def first_line(error: BaseException) -> str:
    """What an error says, in one line of at most 200 characters."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


@dataclass(frozen=True, slots=True)
class Pace:
    """In seconds: between collections, that one may take, and after which an unrenewed value is withdrawn."""

    interval: float
    deadline: float
    max_age: float


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing that is measured by itself: its own interval, deadline and failures."""

    name: str
    pace: Pace
    collect: Callable[[], Awaitable[Reading]]
    """Raises CollectError (or anything: it is contained) when there is nothing to report."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What collectors are made in: the catalog with its intervals, already scaled, and seconds between scrapes."""

    catalog: Catalog
    scrape_interval: float
    max_series: int = 1000
    """Resources of one series that are kept where strangers name them."""

    def wanted(self, metric_ids: Sequence[str]) -> tuple[str, ...]:
        """Those of the metrics that are on."""
        return tuple(each for each in metric_ids if self.catalog.metrics[each].enabled)

    def pace(self, metric_ids: Sequence[str], config: NamedConfig) -> Pace:
        """How often these metrics are measured together: as often as the most hurried of them needs."""
        metrics = [self.catalog.metrics[each] for each in metric_ids]
        needed = [metric.interval for metric in metrics]
        if any(accumulates(metric) for metric in metrics):
            needed.append(self.scrape_interval)
        interval = config.interval or min(needed, default=self.scrape_interval)
        deadline = config.timeout or min(max(interval, LEAST_PATIENCE), LONGEST_DEADLINE)
        return Pace(interval, deadline, max(2 * interval, LEAST_PATIENCE))


class Collector(Protocol):
    """One configured collector. Constructing it does no I/O."""

    probes: Sequence[Probe]

    async def close(self) -> None:
        """Give back what it holds (connections, sessions)."""
