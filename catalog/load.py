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
from catalog.model import Binding, Catalog, Category, MetricCatalogEntry, PlaybookDefinition, Relation
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
    found = structure_faults(document, schema(name))
    faults = [fault for _, fault in found]
    try:
        answer = model.model_validate(document.value, context=dict(context or {}))
    except ValidationError as error:
        raise CatalogError([*faults, *_further_faults(document, error, [where for where, _ in found])]) from error
    if faults:
        raise CatalogError(faults)
    return answer


def _further_faults(document: Document, error: ValidationError, told: Sequence[Where]) -> list[Fault]:
    """What the models found wrong, except where the structure's faults have been told already."""
    faults = []
    for where, said in validation_faults(error):
        if not any(where == each[: len(where)] or each == where[: len(each)] for each in told):
            private = where in document.private
            faults.append(document.fault(where, "what the placeholder holds is not valid here" if private else said))
    return faults


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
    broken: set[str] = field(default_factory=set)
    """Fields that do not have the form they must have; their faults are told already."""

    def lay(self, document: Document, where: Where, values: Mapping[str, Any], broken: set[Where]) -> None:
        self.values.update(values)
        self.broken -= set(values)
        self.broken |= {name for name in values if (*where, name) in broken}
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
        self.removed: dict[str, str] = {}
        """Which file took away what."""

    def lay(self, document: Document) -> None:
        if document.value is None:
            self.faults.append(Fault(document.name, 1, 1, "", "the file is empty; write {} if that is meant"))
            return
        found = structure_faults(document, schema("catalog"))
        self.faults += [fault for _, fault in found]
        broken = {where[:length] for where, _ in found for length in (len(where), 3)}
        if not isinstance(document.value, dict):
            self.incomplete = True
            return
        for kind, entries in (("metrics", self.metrics), ("playbooks", self.playbooks)):
            self._entries(document, kind, entries, broken)
            self._remove(document, kind, entries)
        for index, values in enumerate(_listed(document, "bindings")):
            if isinstance(values, dict):
                self.bindings.append(_Entry("bindings"))
                self.bindings[-1].lay(document, ("bindings", index), values, broken)

    def _entries(self, document: Document, kind: str, entries: dict[str, _Entry], broken: set[Where]) -> None:
        seen: dict[str, int] = {}
        for index, values in enumerate(_listed(document, kind)):
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
            entries.setdefault(key, _Entry(kind)).lay(document, where, values, broken)

    def _remove(self, document: Document, kind: str, entries: dict[str, _Entry]) -> None:
        removal = document.value.get("remove")
        keys = removal.get(kind) if isinstance(removal, dict) else None
        for index, key in enumerate(keys if isinstance(keys, list) else []):
            if isinstance(key, str) and entries.pop(key, None) is not None:
                self.removed[key] = document.name
            elif isinstance(key, str) and not self.incomplete:
                hint = did_you_mean(key, list(entries))
                self.faults.append(document.fault(("remove", kind, index), f"there is no {shown(key)} to remove{hint}"))

    def catalog(self) -> Catalog:
        metrics = self._resolved(MetricCatalogEntry, self.metrics)
        playbooks = self._resolved(PlaybookDefinition, self.playbooks)
        bindings = [each for entry in self.bindings if (each := self._one(Binding, entry)) is not None]
        self._check_references()
        self._check_names(metrics)
        if self.faults:
            raise CatalogError(self.faults)
        catalog = Catalog(metrics=metrics, playbooks=playbooks, bindings=tuple(bindings))
        return catalog.model_copy(update={"digest": digest(catalog)})

    def _resolved(self, model: type[Model], entries: Mapping[str, _Entry]) -> dict[str, Model]:
        found = ((key, self._one(model, entry)) for key, entry in entries.items())
        return {key: each for key, each in found if each is not None}

    def _one(self, model: type[Model], entry: _Entry) -> Model | None:
        try:
            return model.model_validate(entry.values)
        except ValidationError as error:
            told = [
                each
                for each in validation_faults(error, list(entry.broken))
                if not each[0] or each[0][0] not in entry.broken
            ]
            self.faults += [entry.fault(where, said) for where, said in told]
            return None

    def _check_references(self) -> None:
        if self.incomplete:
            return
        for entry in self.metrics.values():
            for band in ("warning", "critical"):
                for where, name in _playbooks_named(entry.values.get(band)):
                    self._check_playbook(entry, (band, *where), name)
        for entry in self.bindings:
            for where, name in _playbooks_named(entry.values.get("playbooks")):
                self._check_playbook(entry, ("playbooks", *where), name)

    def _check_playbook(self, entry: _Entry, where: Where, name: str) -> None:
        if name not in self.playbooks:
            hint = did_you_mean(name, list(self.playbooks))
            if name in self.removed:
                hint = f": {self.removed[name]} removes it, so this must no longer name it"
            self.faults.append(entry.fault(where, f"unknown playbook {shown(name)}{hint}"))

    def _check_names(self, metrics: Mapping[str, MetricCatalogEntry]) -> None:
        taken: dict[str, str] = {}
        for metric in metrics.values():
            first = taken.setdefault(metric.alertname, metric.id)
            if first != metric.id:
                said = f"its alert would be called {metric.alertname}, as that of {first}; choose another id"
                self.faults.append(self.metrics[metric.id].fault(("id",), said))


def _listed(document: Document, kind: str) -> list[Any]:
    """The entries of one kind, or none where something else stands there."""
    listed = document.value.get(kind)
    return listed if isinstance(listed, list) else []


def _playbooks_named(written: Any) -> list[tuple[Where, str]]:
    """Playbooks that responses name as they were written, by side or not, each with where it stands."""
    sides = written.items() if isinstance(written, dict) else ((None, written),)
    found: list[tuple[Where, str]] = []
    for side, listed in sides:
        for index, name in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(name, str) and name != "escalate" and ":" not in name:
                found.append(((index,) if side is None else (side, index), name))
    return found


def digest(catalog: Catalog) -> str:
    """SHA-256 (hex) of the catalog's canonical JSON; what it says of itself is left out."""
    return hashlib.sha256(rfc8785.dumps(catalog.model_dump(mode="json", exclude={"digest"}))).hexdigest()
