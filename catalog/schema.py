"""The JSON Schemas (draft 2020-12) of the files people write, generated from the typed models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from catalog.config import GraceConfig
from catalog.document import read_document
from catalog.event import MetricEvent, MetricsSnapshot
from catalog.inventory import Inventory
from catalog.model import Binding, Frozen, Id, MetricCatalogEntry, PlaybookDefinition
from catalog.policy import Policy

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


class Removal(Frozen):
    """Entries of earlier files that are taken away."""

    metrics: tuple[Id, ...] = ()
    playbooks: tuple[Id, ...] = ()


class CatalogFile(Frozen):
    """One catalog file. An entry whose id an earlier file has changes only the fields it names."""

    metrics: tuple[MetricCatalogEntry, ...] = ()
    playbooks: tuple[PlaybookDefinition, ...] = ()
    bindings: tuple[Binding, ...] = ()
    """A team's own alerts, outside the catalog, bound to playbooks."""
    remove: Removal = Field(default_factory=Removal)


MODELS: Mapping[str, type[BaseModel]] = {
    "catalog": CatalogFile,
    "inventory": Inventory,
    "governance": Policy,
    "config": GraceConfig,
    "event": MetricEvent,
    "snapshot": MetricsSnapshot,
    "metric": MetricCatalogEntry,
    "playbook": PlaybookDefinition,
}
COMMITTED = ("catalog", "inventory", "governance", "config", "event", "snapshot")
"""Those that stand in `catalog/schemas/`, for editors and other languages."""
FOLDER = Path(__file__).parent / "schemas"
_EXAMPLES = {"metric": ("executor.yaml", "metrics"), "playbook": ("playbooks.yaml", "playbooks")}
"""Where the shipped entries have the example of a kind that is written within a file of its plural: the first one."""


@cache
def schema(name: str) -> Mapping[str, Any]:
    """The JSON Schema of one kind of file: a key of MODELS."""
    generated = MODELS[name].model_json_schema(mode="validation")
    definitions = generated.get("$defs", {})
    if name == "catalog":
        for entry in ("MetricCatalogEntry", "PlaybookDefinition"):
            definitions[entry]["required"] = ["id"]
    if "Target" in definitions:
        definitions["Target"]["required"].remove("name")
    for definition in (generated, *definitions.values()):
        _without_titles(definition)
        if "const" in definition.get("properties", {}).get("kind", {}):
            definition["required"] = ["kind", *definition.get("required", ())]
    if name in _EXAMPLES:
        file, key = _EXAMPLES[name]
        generated["examples"] = [read_document(FOLDER.parent / "entries" / file).value[key][0]]
    return {"$schema": _DRAFT, **generated}


def file_of(name: str) -> Path:
    """Where the committed schema stands."""
    return FOLDER / f"{name}.schema.json"


def text_of(name: str) -> str:
    """The schema as it is committed and printed: two-space JSON with a last newline."""
    return json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"


def _without_titles(definition: dict[str, Any]) -> None:
    """Drop the titles that repeat the field's name: editors show both."""
    for each in definition.get("properties", {}).values():
        each.pop("title", None)
