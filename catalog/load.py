"""Files in, frozen models out, or one `CatalogError` with every fault and its place.

A catalog is the shipped entries with the team's files laid over them, in order: an entry whose id is known changes
only the fields it names, a new id adds an entry, `remove:` takes one away.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import rfc8785
from pydantic import BaseModel, ValidationError

from catalog.config import GraceConfig
from catalog.document import Document, Where, read_document
from catalog.fault import CatalogError as CatalogError
from catalog.fault import Fault, did_you_mean, shown
from catalog.inventory import Inventory
from catalog.model import Binding, Catalog, Category, MetricCatalogEntry, PlaybookDefinition, Relation, Responses
from catalog.placeholders import filled
from catalog.policy import Policy
from catalog.schema import schema
from catalog.structure import structure_faults, validation_faults

SHIPPED = Path(__file__).parent / "entries"

Model = TypeVar("Model", bound=BaseModel)


def load_catalog(files: Sequence[Path] = (), *, shipped: Path | None = SHIPPED) -> Catalog:
    """The shipped entries with `files` laid over them in order, resolved. Raises CatalogError with every fault.

    `shipped` is the folder of entries to begin with; None begins with nothing.
    """
    merge = _Merge()
    for path in [*(sorted(shipped.glob("*.yaml"), key=_as_in_the_facts) if shipped else ()), *files]:
        try:
            document = read_document(path)
        except CatalogError as error:
            merge.faults += error.faults
            merge.incomplete = True
        else:
            merge.lay(document)
    return merge.catalog()


def _as_in_the_facts(path: Path) -> tuple[bool, int, str]:
    """Categories in their own order, then other files by name."""
    order = [each.value for each in Category]
    return path.stem not in order, order.index(path.stem) if path.stem in order else 0, path.stem


def config_path(option: Path | None = None) -> Path | None:
    """Which `grace.yml` to use: the option, else $GRACE_CONFIG, else ./grace.yml where it exists, else none."""
    if option is not None:
        return option
    named = os.environ.get("GRACE_CONFIG")
    if named:
        return Path(named)
    here = Path("grace.yml")
    return here if here.exists() else None


def load_config(path: Path | None, *, environment: Mapping[str, str] = os.environ) -> GraceConfig:
    """What `grace.yml` says, paths made absolute against its folder; without a file the defaults, here.

    An empty file is the defaults too. Raises CatalogError with every fault; what the environment holds is not quoted.
    """
    if path is None:
        return GraceConfig.model_validate({}, context={"folder": Path.cwd()})
    document = filled(read_document(path), environment)
    if document.value is None:
        document = Document(document.name, {}, document.places)
    return _model(GraceConfig, document, "config", {"folder": path.absolute().parent})


def load_inventory(path: Path | None, *, environment: Mapping[str, str] = os.environ) -> Inventory:
    """The targets of `inventory.yml`; without a file, none. Raises CatalogError with every fault."""
    if path is None:
        return Inventory()
    document = filled(read_document(path), environment)
    inventory = _model(Inventory, document, "inventory")
    faults = list(_inventory_faults(inventory, document))
    if faults:
        raise CatalogError(faults)
    return inventory


def load_policy(path: Path | None) -> Policy:
    """The numbers of `governance.yml`; without a file, the documented defaults. Raises CatalogError."""
    return Policy() if path is None else _model(Policy, read_document(path), "governance")


def _model(model: type[Model], document: Document, name: str, context: Mapping[str, Any] | None = None) -> Model:
    if document.value is None:
        raise CatalogError([Fault(document.name, 1, 1, "", "the file is empty; write {} if that is meant")])
    faults = [fault for _, fault in structure_faults(document, schema(name))]
    if faults:
        raise CatalogError(faults)
    try:
        return model.model_validate(document.value, context=dict(context or {}))
    except ValidationError as error:
        raise CatalogError(
            document.fault(where, "what the placeholder holds is not valid here" if where in document.private else said)
            for where, said in validation_faults(error)
        ) from error


def _inventory_faults(inventory: Inventory, document: Document) -> list[Fault]:
    faults = []
    for target in inventory.targets.values():
        place: Where = ("targets", target.name)
        if target.limits.min > target.limits.max:
            faults.append(document.fault((*place, "limits"), "min is above max"))
        for relation in Relation:
            other = target.related(relation)
            if relation in (Relation.TARGET, Relation.GOVERNANCE) or other is None or other in inventory.targets:
                continue
            known = list(inventory.targets)
            faults.append(
                document.fault((*place, relation.value), f"unknown target {shown(other)}{did_you_mean(other, known)}")
            )
    return faults


@dataclass
class _Entry:
    """One entry as merged so far, and which file each of its fields comes from."""

    kind: str
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, tuple[Document, Where]] = field(default_factory=dict)
    home: tuple[Document, Where] | None = None
    broken: bool = False

    def lay(self, document: Document, where: Where, values: Mapping[str, Any]) -> None:
        self.values.update(values)
        self.origins.update(dict.fromkeys(values, (document, where)))
        self.home = (document, where)

    def fault(self, where: Where, message: str) -> Fault:
        assert self.home is not None
        document, place = self.origins.get(str(where[0]), self.home) if where else self.home
        return document.fault((*place, *where), message)


class _Merge:
    """Catalog files laid over each other, with the faults found on the way."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.incomplete = False
        """A file could not be read: what it would have defined is not called unknown."""
        self.metrics: dict[str, _Entry] = {}
        self.playbooks: dict[str, _Entry] = {}
        self.bindings: list[_Entry] = []

    def lay(self, document: Document) -> None:
        if document.value is None:
            self.faults.append(Fault(document.name, 1, 1, "", "the file is empty; write {} if that is meant"))
            return
        found = structure_faults(document, schema("catalog"))
        self.faults += [fault for _, fault in found]
        broken = {where[:2] for where, _ in found} | {where[:1] for where, _ in found if len(where) < 2}
        if () in broken or ("remove",) in broken:
            self.incomplete = True
            return
        for kind, entries in (("metrics", self.metrics), ("playbooks", self.playbooks)):
            if (kind,) in broken:
                self.incomplete = True
                continue
            self._entries(document, kind, entries, broken)
            self._remove(document, kind, entries)
        for index, values in enumerate(document.value.get("bindings", [])):
            entry = _Entry("bindings", broken=("bindings", index) in broken)
            if isinstance(values, dict):
                entry.lay(document, ("bindings", index), values)
                self.bindings.append(entry)

    def _entries(self, document: Document, kind: str, entries: dict[str, _Entry], broken: set[Where]) -> None:
        seen: dict[str, int] = {}
        for index, values in enumerate(document.value.get(kind, [])):
            where = (kind, index)
            key = values.get("id") if isinstance(values, dict) else None
            if not isinstance(key, str):
                self.incomplete = True
                continue
            if key in seen:
                first = f"{kind}[{seen[key]}]"
                self.faults.append(
                    document.fault((*where, "id"), f"{shown(key)} stands in this file twice (see {first})")
                )
            seen[key] = index
            entry = entries.setdefault(key, _Entry(kind))
            entry.lay(document, where, values)
            entry.broken = entry.broken or where in broken

    def _remove(self, document: Document, kind: str, entries: dict[str, _Entry]) -> None:
        for index, key in enumerate(document.value.get("remove", {}).get(kind, [])):
            if entries.pop(key, None) is None and not self.incomplete:
                hint = did_you_mean(key, list(entries))
                self.faults.append(document.fault(("remove", kind, index), f"there is no {shown(key)} to remove{hint}"))

    def catalog(self) -> Catalog:
        metrics = self._resolved(MetricCatalogEntry, self.metrics)
        playbooks = self._resolved(PlaybookDefinition, self.playbooks)
        bindings = [each for entry in self.bindings if (each := self._one(Binding, entry)) is not None]
        self._check_references(metrics)
        self._check_names(metrics)
        if self.faults:
            raise CatalogError(self.faults)
        catalog = Catalog(metrics=metrics, playbooks=playbooks, bindings=tuple(bindings))
        return catalog.model_copy(update={"digest": digest(catalog)})

    def _resolved(self, model: type[Model], entries: Mapping[str, _Entry]) -> dict[str, Model]:
        found = ((key, self._one(model, entry)) for key, entry in entries.items())
        return {key: each for key, each in found if each is not None}

    def _one(self, model: type[Model], entry: _Entry) -> Model | None:
        if entry.broken:
            return None
        try:
            return model.model_validate(entry.values)
        except ValidationError as error:
            self.faults += [entry.fault(where, said) for where, said in validation_faults(error)]
            return None

    def _check_references(self, metrics: Mapping[str, MetricCatalogEntry]) -> None:
        if self.incomplete:
            return
        for metric in metrics.values():
            for band, responses in (("warning", metric.warning), ("critical", metric.critical)):
                for where, name in _playbooks_named(responses, self.metrics[metric.id].values.get(band)):
                    self._check_playbook(self.metrics[metric.id], (band, *where), name)
        for entry in self.bindings:
            named = entry.values.get("playbooks", [])
            for index, name in enumerate(named if isinstance(named, list) and not entry.broken else []):
                self._check_playbook(entry, ("playbooks", index), name)

    def _check_playbook(self, entry: _Entry, where: Where, name: str) -> None:
        if name not in self.playbooks:
            hint = did_you_mean(name, list(self.playbooks))
            self.faults.append(entry.fault(where, f"unknown playbook {shown(name)}{hint}"))

    def _check_names(self, metrics: Mapping[str, MetricCatalogEntry]) -> None:
        taken: dict[str, str] = {}
        for metric in metrics.values():
            first = taken.setdefault(metric.alertname, metric.id)
            if first != metric.id:
                said = f"its alert would be called {metric.alertname}, as that of {first}; choose another id"
                self.faults.append(self.metrics[metric.id].fault(("id",), said))


def _playbooks_named(responses: Responses, written: Any) -> list[tuple[Where, str]]:
    """Playbooks that responses name, each with where it stands in what was written."""
    if isinstance(written, list):
        return [((index,), each.name) for index, each in enumerate(responses.high) if each.kind == "playbook"]
    sides = (("high", responses.high), ("low", responses.low))
    return [
        ((side, index), each.name) for side, all_ in sides for index, each in enumerate(all_) if each.kind == "playbook"
    ]


def digest(catalog: Catalog) -> str:
    """SHA-256 (hex) of the catalog's canonical JSON; what it says of itself is left out."""
    return hashlib.sha256(rfc8785.dumps(catalog.model_dump(mode="json", exclude={"digest"}))).hexdigest()
