"""The inventory: the targets that verbs act on, and which driver does it. Parsed from `inventory.yml`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from catalog.model import Category, Frozen, Relation

CATEGORY_TARGETS: Mapping[Category, str] = {
    Category.API: "api",
    Category.EXECUTOR: "workers",
    Category.LEARNING: "ingestion",
}
"""The target that each category's metrics mean; infra metrics mean the one whose `resources` name theirs."""

TARGET_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class Limits(Frozen):
    """How far a target may be scaled: never below `min`, never above `max`."""

    min: int = Field(default=1, ge=0)
    """Never fewer than this."""
    max: int = Field(default=1, ge=0)
    """Never more than this."""


class Target(Frozen):
    """One thing that verbs act on. `driver` names a row of `remediator.drivers.DRIVERS`, which validates `config`."""

    name: str = Field(pattern=TARGET_PATTERN, max_length=100, examples=["api", "api-1"])
    """Its key in the file."""
    driver: str
    """Which driver does the verbs on it."""
    group: str = ""
    """For the blast radius; its own name where empty."""
    resources: tuple[str, ...] = ()
    """Values of the `resource` label of infra metrics that mean this target (exact)."""
    limits: Limits = Limits()
    """How far it may be scaled."""
    edge: str | None = None
    """The target that spreads load over it, for `shift-load`."""
    standby: str | None = None
    """The target that takes over for a while, for `spawn-emergency-shard`."""
    nodes: str | None = None
    """The target that is the machines below it, for `scale-nodes`."""
    reclaim: str | None = None
    """The target whose old files may go, for `cleanup-disk`."""
    analysis: str | None = None
    """The target that analyses it, for `run-trust-analysis`."""
    shadow: bool = False
    """Decide and record everything about it, touch nothing."""
    step_timeout: float = Field(default=30.0, gt=0, le=600)
    """Seconds that one step on this target may take."""
    config: Mapping[str, Any] = Field(default_factory=dict)
    """What its driver reads: see the driver's README."""

    @property
    def blast_group(self) -> str:
        return self.group or self.name

    def related(self, relation: Relation) -> str | None:
        """The name of the target that stands in this relation, or None: then the target lacks the capability."""
        if relation is Relation.TARGET:
            return self.name
        if relation is Relation.GOVERNANCE:
            return "governance"
        return {
            Relation.EDGE: self.edge,
            Relation.STANDBY: self.standby,
            Relation.NODES: self.nodes,
            Relation.RECLAIM: self.reclaim,
            Relation.ANALYSIS: self.analysis,
        }[relation]


def _targets_as_written(schema: dict[str, Any]) -> None:
    schema["properties"]["targets"]["propertyNames"] = {"pattern": TARGET_PATTERN, "examples": ["api", "api-1"]}


@dataclass(frozen=True, slots=True)
class _Places:
    """Where each target stands, so that a question about one does not go through a thousand."""

    by_resource: Mapping[str, tuple[Target, ...]]
    by_group: Mapping[str, int]
    groups: Mapping[str, str]


class Inventory(Frozen):
    """All targets by name. `governance` always exists: it is Grace itself."""

    model_config = ConfigDict(json_schema_extra=_targets_as_written)

    targets: Mapping[str, Target] = Field(default_factory=dict)
    """Each by its name."""

    @model_validator(mode="before")
    @classmethod
    def _name_targets(cls, written: Any) -> Any:
        """A target's name is its key in the file; it need not be written twice."""
        targets = written.get("targets") if isinstance(written, Mapping) else None
        if not isinstance(targets, Mapping):
            return written
        named = {key: {"name": key, **each} if isinstance(each, Mapping) else each for key, each in targets.items()}
        return {**written, "targets": named}

    @model_validator(mode="after")
    def _keys_are_names(self) -> Self:
        for key, target in self.targets.items():
            if key != target.name:
                raise ValueError(f"the target {key} calls itself {target.name}; its key is its name, leave `name` out")
        return self

    def for_resource(self, resource: str) -> tuple[Target, ...]:
        """Targets whose `resources` list it exactly: none or several means a person must look."""
        return self._places.by_resource.get(resource, ())

    def group_size(self, group: str) -> int:
        """How many targets have this `blast_group`; 0 where none has."""
        return self._places.by_group.get(group, 0)

    def groups_of(self, names: Iterable[str]) -> set[str]:
        """The `blast_group`s of these targets; the own name of each that the inventory does not list."""
        groups = self._places.groups
        return {groups.get(name, name) for name in names}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """The same inventory, with other targets where `update` says so."""
        copied = super().model_copy(update=update, deep=deep)
        # A copy has what its original remembered, which may not hold for its targets.
        copied.__dict__.pop("_places", None)
        return copied

    @cached_property
    def _places(self) -> _Places:
        by_resource: dict[str, tuple[Target, ...]] = {}
        for target in self.targets.values():
            for resource in dict.fromkeys(target.resources):
                by_resource[resource] = (*by_resource.get(resource, ()), target)
        groups = {name: target.blast_group for name, target in self.targets.items()}
        return _Places(by_resource, Counter(groups.values()), groups)
