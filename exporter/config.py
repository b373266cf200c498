"""`exporter.yml`: what is collected, how. Read with `grace.yml` and the catalog it names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from catalog.config import GraceConfig
from catalog.document import Document, Where, read_document
from catalog.fault import CatalogError
from catalog.load import load_catalog, load_config
from catalog.model import Catalog, Frozen
from catalog.placeholders import filled
from catalog.structure import structure_faults, validation_faults
from exporter.collectors.base import Setting
from exporter.collectors.celery import CeleryConfig
from exporter.collectors.events import EventsConfig
from exporter.collectors.host import PsutilConfig
from exporter.collectors.http import HttpConfig
from exporter.collectors.kubernetes import KubernetesConfig
from exporter.collectors.multiprocess import MultiprocessConfig
from exporter.collectors.redis import RedisConfig
from exporter.collectors.remediator import RemediatorConfig
from exporter.collectors.sql import SqlConfig

AnyCollector = Annotated[
    PsutilConfig
    | SqlConfig
    | MultiprocessConfig
    | EventsConfig
    | HttpConfig
    | KubernetesConfig
    | RedisConfig
    | CeleryConfig
    | RemediatorConfig,
    Field(discriminator="collector"),
]


class ExporterConfig(Frozen):
    collectors: tuple[AnyCollector, ...] = ()
    """What measures; each kind has settings of its own."""
    max_series: int = Field(default=1000, ge=1, le=1_000_000)
    """Series of one name that one probe may give; more are dropped and counted."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything the exporter runs by: its own configuration, and the setting its collectors are made in."""

    exporter: ExporterConfig
    setting: Setting


def load(path: Path | None, *, environment: Mapping[str, str] = os.environ) -> Loaded:
    """What `grace.yml` at `path`, the catalog and `exporter.yml` say. Raises CatalogError with every fault."""
    config = load_config(path, environment=environment)
    catalog = load_catalog(config.catalog).scaled(config.time_scale)
    exporter = load_exporter(config, catalog, environment)
    return Loaded(exporter, Setting(catalog, config.time_scale.scrape_interval(), exporter.max_series))


def load_exporter(config: GraceConfig, catalog: Catalog, environment: Mapping[str, str]) -> ExporterConfig:
    """The collectors that `exporter.yml` names, fitting the catalog; none where there is no such file."""
    if config.exporter is None:
        return ExporterConfig()
    document = filled(read_document(config.exporter), environment)
    if document.value is None:
        return ExporterConfig()
    faults = [fault for _, fault in structure_faults(document, ExporterConfig.model_json_schema())]
    if faults:
        raise CatalogError(faults)
    try:
        found = ExporterConfig.model_validate(document.value, context={"folder": config.exporter.absolute().parent})
    except ValidationError as error:
        raise CatalogError(
            document.fault(_without_tag(where, document), said) for where, said in validation_faults(error)
        ) from error
    faults = [document.fault(where, said) for where, said in _misfits(found, catalog)]
    if faults:
        raise CatalogError(faults)
    return found


def _without_tag(where: Where, document: Document) -> Where:
    """The place without the name of the kind, which pydantic puts behind `collectors, N`."""
    return (*where[:2], *where[3:]) if len(where) > 2 and where[0] == "collectors" else where


def _misfits(config: ExporterConfig, catalog: Catalog) -> Iterator[tuple[Where, str]]:
    seen: dict[str, int] = {}
    for index, collector in enumerate(config.collectors):
        first = seen.setdefault(collector.name, index)
        if first != index:
            yield ("collectors", index, "name"), f"this is also the name of collectors[{first}]"
        for where, message in collector.faults(catalog):
            yield ("collectors", index, *where), message
