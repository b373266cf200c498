"""Collector `http`: numbers of a JSON document that a URL answers. All of one URL's readings are one request."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from catalog.config import FilePath
from catalog.document import Where
from catalog.fault import shown
from catalog.model import Catalog, Unit
from exporter.collectors.base import CollectError, NamedConfig, Probe, Setting
from exporter.collectors.json_endpoint import JsonEndpoint, url_faults
from exporter.collectors.json_path import JsonPath, WrittenPath
from exporter.collectors.rows import MAX_ROWS, Rows, RowsConfig, rows_faults
from exporter.families import Measured, Reading

MAX_DOCUMENT = 4 * 1024 * 1024
"""Bytes of an answer."""


class ReadingConfig(RowsConfig):
    """Which numbers of the document are which series. null is no value, never 0."""

    values: Mapping[str, WrittenPath] = Field(min_length=1)
    """Path by series name; a name that ends with `_total` is a counter, with `_timestamp_seconds` may be ISO 8601."""
    each: WrittenPath | None = None
    """The elements that are looked at one by one; the other paths then begin at such an element."""
    resource_at: WrittenPath | None = None
    """Where each element names its resource, instead of `resource`; one without is left out."""
    labels: Mapping[str, WrittenPath] = Field(default_factory=dict)
    """Path by label name, where elements are told apart by more than their resource."""
    unit: Unit | None = None
    """What the numbers are told in, where it is not the base unit: ms, percent."""


class HttpConfig(NamedConfig):
    collector: Literal["http"]
    """Numbers of a JSON document that a URL answers."""
    url: str
    """`http://…` or `https://…`; redirects are not followed."""
    readings: tuple[ReadingConfig, ...] = Field(min_length=1)
    """What is read out of each answer."""
    token_file: FilePath | None = None
    """A bearer token, read again for every request; or `username` with `password_file`."""
    username: str = ""
    """For basic authentication."""
    password_file: FilePath | None = None
    """Holds the user's password; read again for every request."""
    ca_file: FilePath | None = None
    """Certificates that sign the server's; those of the machine where absent."""

    def faults(self, catalog: Catalog) -> Iterator[tuple[Where, str]]:
        yield from url_faults(self.url)
        if self.token_file and (self.username or self.password_file):
            yield ("token_file",), "a token, or a user with a password: not both"
        if bool(self.username) != bool(self.password_file):
            yield (), '"username" and "password_file" belong together'
        for index, reading in enumerate(self.readings):
            yield from _faults(reading, catalog, ("readings", index))


def _faults(reading: ReadingConfig, catalog: Catalog, where: Where) -> Iterator[tuple[Where, str]]:
    yield from rows_faults(reading, "reading", ("resource_at", reading.resource_at), catalog, where)
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
    if len(elements) > MAX_ROWS:
        raise CollectError(f"{config.each} means more than {MAX_ROWS} elements", len(elements))
    paths = {name: JsonPath.parse(path) for name, path in config.values.items()}
    words = {name: JsonPath.parse(path) for name, path in config.labels.items()}
    resource_at = JsonPath.parse(config.resource_at) if config.resource_at else None
    found = Rows(paths, metric_ids, config.resource)
    for element in elements:
        resource = config.resource if resource_at is None else _word(element, resource_at)
        if resource is not None:
            labels = {name: _word(element, path) or "" for name, path in words.items()}
            values = {name: _number(_at(element, path), name, path, config.unit) for name, path in paths.items()}
            found.add(resource, labels, values)
    return found.reading()


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
