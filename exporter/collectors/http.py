"""Collector `http`: numbers of a JSON document that a URL answers. All of one URL's readings are one request."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from catalog.config import FilePath
from catalog.document import Where
from catalog.fault import did_you_mean, shown
from catalog.model import Catalog, Frozen, Unit
from exporter.collectors.base import CollectError, CollectorConfig, Probe, Setting, unknown_metrics
from exporter.collectors.json_endpoint import JsonEndpoint, url_faults
from exporter.collectors.json_path import JsonPath
from exporter.families import SERIES_NAME, Measured, Reading, Sample, family, labels_of, raw_series

MAX_DOCUMENT = 4 * 1024 * 1024
"""Bytes of an answer."""
MAX_ELEMENTS = 10_000
"""Elements that `each` may mean; more are an error, as no metric has so many resources."""


def _path(text: str) -> str:
    JsonPath.parse(text)
    return text


Path = Annotated[str, AfterValidator(_path)]
"""A JSONPath, as `json_path` understands it."""


class ReadingConfig(Frozen):
    """Which numbers of the document are which series. null is no value, never 0."""

    metric_ids: tuple[str, ...] = Field(min_length=1)
    values: Mapping[str, Path] = Field(min_length=1)
    """Path by series name; a name that ends with `_total` is a counter, with `_timestamp_seconds` may be ISO 8601."""
    each: Path | None = None
    """The elements that are looked at one by one; the other paths then begin at such an element."""
    resource: str | None = None
    """The resource of every value; or `resource_at`."""
    resource_at: Path | None = None
    labels: Mapping[str, Path] = Field(default_factory=dict)
    """Path by label name, where elements are told apart by more than their resource."""
    unit: Unit | None = None
    """What the numbers are told in, where it is not the base unit: ms, percent."""


class HttpConfig(CollectorConfig):
    collector: Literal["http"]
    url: str
    readings: tuple[ReadingConfig, ...] = Field(min_length=1)
    token_file: FilePath | None = None
    """A bearer token, read again for every request; or `username` with `password_file`."""
    username: str = ""
    password_file: FilePath | None = None
    ca_file: FilePath | None = None
    """Certificates that sign the server's; those of the machine where absent."""

    def faults(self, catalog: Catalog) -> Iterator[tuple[Where, str]]:
        yield from unknown_metrics(self.metric_ids, catalog, ("metric_ids",))
        yield from url_faults(self.url)
        if self.token_file and (self.username or self.password_file):
            yield ("token_file",), "a token, or a user with a password: not both"
        if bool(self.username) != bool(self.password_file):
            yield (), '"username" and "password_file" belong together'
        for index, reading in enumerate(self.readings):
            yield from _faults(reading, catalog, ("readings", index))


def _faults(reading: ReadingConfig, catalog: Catalog, where: Where) -> Iterator[tuple[Where, str]]:
    yield from unknown_metrics(reading.metric_ids, catalog, (*where, "metric_ids"))
    if (reading.resource is None) == (reading.resource_at is None):
        yield where, 'one of "resource" and "resource_at" is needed'
    metrics = [catalog.metrics[each] for each in reading.metric_ids if each in catalog.metrics]
    known = sorted(frozenset[str]().union(*map(raw_series, metrics)))
    for name in reading.values:
        if metrics and name not in known:
            hint = did_you_mean(name, known) or f"; they are derived from {', '.join(known)}"
            yield (*where, "values", name), f"no metric of this reading is derived from {shown(name)}{hint}"
    for name in reading.labels:
        if not SERIES_NAME.match(name) or name == "resource":
            yield (*where, "labels", name), "this cannot be the name of a label here"
    single = {"resource_at": reading.resource_at} if reading.resource_at else {}
    for key, path in (*reading.values.items(), *reading.labels.items(), *single.items()):
        if JsonPath.parse(path).several:
            yield where, f'{shown(key)}: {path} means several values; name the elements with "each"'


class HttpCollector:
    """One probe: one request, all readings."""

    def __init__(self, config: HttpConfig, setting: Setting) -> None:
        self._readings = [(each, on) for each in config.readings if (on := setting.wanted(each.metric_ids))]
        self._endpoint = JsonEndpoint(
            config.url,
            most_bytes=MAX_DOCUMENT,
            token_file=config.token_file,
            username=config.username,
            password_file=config.password_file,
            ca_file=config.ca_file,
        )
        metric_ids = [metric_id for _, on in self._readings for metric_id in on]
        probe = Probe("document", setting.pace(metric_ids, config), self._collect)
        self.probes: Sequence[Probe] = (probe,) if metric_ids else ()

    async def close(self) -> None:
        await self._endpoint.close()

    async def _collect(self) -> Reading:
        document = await self._endpoint.get()
        readings = [reading_of(document, reading, on) for reading, on in self._readings]
        return Reading(
            tuple(each for reading in readings for each in reading.families),
            frozenset[Measured]().union(*(reading.measured for reading in readings)),
        )


def reading_of(document: Any, config: ReadingConfig, metric_ids: Sequence[str]) -> Reading:
    """What the document says. Raises CollectError where a place is missing or holds something that is no number."""
    elements = [document] if config.each is None else JsonPath.parse(config.each).find(document)
    if len(elements) > MAX_ELEMENTS:
        raise CollectError(f"{config.each} means more than {MAX_ELEMENTS} elements")
    paths = {name: JsonPath.parse(path) for name, path in config.values.items()}
    words = {name: JsonPath.parse(path) for name, path in config.labels.items()}
    resource_at = JsonPath.parse(config.resource_at) if config.resource_at else None
    samples: dict[str, list[Sample]] = {name: [] for name in paths}
    measured = {Measured(each, config.resource) for each in metric_ids if config.resource is not None}
    for element in elements:
        resource = config.resource if resource_at is None else _word(element, resource_at)
        if resource is None:
            continue
        named = {name: _word(element, path) or "" for name, path in words.items()}
        labels = labels_of({**named, "resource": resource})
        measured |= {Measured(each, dict(labels)["resource"]) for each in metric_ids}
        for name, path in paths.items():
            value = _number(_at(element, path), name, path, config.unit)
            if value is not None:
                samples[name].append(Sample(labels, value))
    return Reading(tuple(family(name, found) for name, found in samples.items() if found), frozenset(measured))


def _at(element: Any, path: JsonPath) -> Any:
    found = path.find(element)
    if not found:
        raise CollectError(f"the document has no {path.text}")
    return found[0]


def _word(element: Any, path: JsonPath) -> str | None:
    value = _at(element, path)
    if isinstance(value, list | dict):
        raise CollectError(f"{path.text} is not a word")
    return None if value is None else str(value)


def _number(value: Any, name: str, path: JsonPath, unit: Unit | None) -> float | None:
    """In base units; None for null, and for what is no finite number."""
    if value is None:
        return None
    if isinstance(value, str) and name.endswith("_timestamp_seconds"):
        return _epoch(value, path)
    if not isinstance(value, int | float):
        raise CollectError(f"{path.text} holds {_kind(value)}, not a number")
    try:
        found = float(value) if unit is None else float(Decimal(repr(float(value))) * unit.factor)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _epoch(text: str, path: JsonPath) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise CollectError(f"{path.text} holds {_kind(text)}, not a time") from error
    if found.tzinfo is None:
        raise CollectError(f"{path.text} holds a time without a time zone")
    return found.timestamp()


def _kind(value: Any) -> str:
    return "text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"
