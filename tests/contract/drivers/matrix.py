"""Which playbook is tried on which platform: every playbook that acts on a target, on every rig that has its verb."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from catalog.load import load_catalog
from catalog.model import Catalog, PlaybookDefinition, Relation, Verb
from remediator.drivers import builtin_driver
from tests.contract.drivers.conftest import RIGS
from tests.contract.drivers.rigs.base import Rig

CATALOG: Catalog = load_catalog()

FIRST = ("scale-api-shard", "restart-workers", "throttle-learning", "stop-ingestion-cycle", "shift-load")
"""The others do the same with other numbers, or on few platforms: `make prove` tries them."""


def cases() -> Iterator[tuple[PlaybookDefinition, str]]:
    """Playbook and name of a rig."""
    for playbook in CATALOG.playbooks.values():
        (step,) = playbook.steps
        if builtin_driver(step.verb) is None:
            yield from ((playbook, name) for name, kind in RIGS.items() if kind.verb is step.verb)


def platforms() -> Mapping[str, list[str]]:
    """Playbook → the drivers that it is tried with."""
    tried: dict[str, set[str]] = {}
    for playbook, name in cases():
        tried.setdefault(playbook.id, set()).add(RIGS[name].kind)
    return {playbook: sorted(kinds) for playbook, kinds in tried.items()}


def is_slow(playbook: PlaybookDefinition, name: str) -> bool:
    return RIGS[name].slow or playbook.id not in FIRST


def expected(playbook: PlaybookDefinition, rig: Rig, before: Any) -> Any:
    """What the platform is to show after this playbook."""
    (step,) = playbook.steps
    if step.verb is Verb.SCALE:
        now = size(before)
        grown = now + int(step.args["by"]) if "by" in step.args else math.ceil(now * step.args["factor"])
        return min(grown, rig.target().limits.max)
    if step.verb is Verb.THROTTLE and step.args != rig.args:
        return type(before)(step.args["factor"] * each for each in before)
    return rig.expected(before) if callable(rig.expected) else rig.expected


def shown(playbook: PlaybookDefinition, effect: Any) -> Any:
    return size(effect) if playbook.steps[0].verb is Verb.SCALE else effect


def size(effect: Any) -> int:
    """How many there are: some rigs count them, some tell how each one is."""
    return effect if isinstance(effect, int) else len(effect)


def related(playbook: PlaybookDefinition) -> Mapping[str, str]:
    """How the incident's target names the thing that this playbook acts on; nothing where it is that itself."""
    (step,) = playbook.steps
    return {} if step.on is Relation.TARGET else {step.on.value: "thing"}
