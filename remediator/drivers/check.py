"""Does the inventory make sense for these drivers and this catalog? Asked at load, not at three in the morning."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from pydantic import ValidationError

from catalog.inventory import CATEGORY_TARGETS, Inventory, Target
from catalog.model import (
    Catalog,
    Category,
    CommandPrecondition,
    MetricCatalogEntry,
    PlaybookDefinition,
    Relation,
    Verb,
)
from remediator.drivers.base import Driver
from remediator.drivers.table import EXTRAS, builtin_driver

_RESERVED = "governance"
_OWN = (Relation.TARGET, Relation.GOVERNANCE)


def faults(inventory: Inventory, catalog: Catalog, drivers: Mapping[str, type[Driver]]) -> Iterator[str]:
    """Every fault as `targets.NAME…: what is wrong`, in the inventory's order."""
    needed = _needed(catalog)
    for name, target in inventory.targets.items():
        place = f"targets.{name}"
        if name == _RESERVED:
            yield f"{place}: this name is Grace itself; choose another"
        yield from _limits(place, target)
        yield from _driver(place, target, drivers)
        for relation in Relation:
            if relation not in _OWN and (related := target.related(relation)) is not None:
                yield from _relation(f"{place}.{relation}", related, needed[relation], inventory, drivers)
    yield from _preconditions(inventory, catalog)


def gaps(inventory: Inventory, catalog: Catalog, drivers: Mapping[str, type[Driver]]) -> Iterator[str]:
    """What playbooks would do to a target and its driver cannot, as `targets.NAME: …`: no fault, they are denied."""
    for name, target in inventory.targets.items():
        driver = drivers.get(target.driver)
        if driver is None:
            continue  # a fault, said elsewhere
        denied: dict[Verb, dict[str, None]] = {}
        for playbook in _answers(catalog, name, target, driver):
            for step in playbook.steps:
                own = step.on is Relation.TARGET and builtin_driver(step.verb) is None
                if own and step.verb not in driver.verbs:
                    denied.setdefault(step.verb, {})[playbook.id] = None
        for verb, playbooks in denied.items():
            yield f"targets.{name}: {target.driver} cannot {verb}, so {', '.join(playbooks)} will be denied"


def _answers(catalog: Catalog, name: str, target: Target, driver: type[Driver]) -> Iterator[PlaybookDefinition]:
    """The playbooks of every metric and binding that means this target, in the catalog's order."""
    wanted = {key for binding in catalog.bindings if binding.target == name for key in binding.playbooks}
    of_kind: dict[str, set[str]] = {}
    for metric in catalog.enabled:
        if CATEGORY_TARGETS.get(metric.category) == name:
            wanted |= _named(metric)
        elif metric.category is Category.INFRA and target.resources:
            of_kind.setdefault(metric.resource_is, set()).update(_named(metric))
    # A volume is no host: the metrics of a kind are meant where at least one of their playbooks can act.
    meant = [keys for keys in of_kind.values() if any(_serves(target, driver, catalog.playbooks[key]) for key in keys)]
    wanted.update(*(meant or of_kind.values()))
    return (playbook for key, playbook in catalog.playbooks.items() if key in wanted)


def _named(metric: MetricCatalogEntry) -> set[str]:
    every = (each for band in (metric.warning, metric.critical) for each in (*band.high, *band.low))
    return {each.name for each in every if each.kind == "playbook"}


def _serves(target: Target, driver: type[Driver], playbook: PlaybookDefinition) -> bool:
    return all(
        step.verb in driver.verbs if step.on is Relation.TARGET else target.related(step.on) is not None
        for step in playbook.steps
        if builtin_driver(step.verb) is None
    )


def _limits(place: str, target: Target) -> Iterator[str]:
    if target.limits.min > target.limits.max:
        yield f"{place}.limits: min {target.limits.min} is above max {target.limits.max}"


def _driver(place: str, target: Target, drivers: Mapping[str, type[Driver]]) -> Iterator[str]:
    driver = drivers.get(target.driver)
    if driver is None:
        yield f"{place}.driver: unknown {target.driver!r}{_meant(target.driver, drivers)}"
        return
    extra = EXTRAS.get(target.driver)
    if extra is not None and find_spec(extra.module) is None:
        mend = " ".join([sys.executable, "-m pip install", *(f"'{each}'" for each in extra.requirements)])
        yield f"{place}.driver: {target.driver} needs a Python package that is not installed; get it with {mend}"
    try:
        driver.Config.model_validate(target.config)
    except ValidationError as error:
        # Without the input: it may hold a secret.
        for fault in error.errors(include_input=False, include_url=False):
            where = ".".join([f"{place}.config", *(str(part) for part in fault["loc"])])
            yield f"{where}: {fault['msg']}"


def _relation(
    place: str, related: str, verbs: frozenset[Verb], inventory: Inventory, drivers: Mapping[str, type[Driver]]
) -> Iterator[str]:
    target = inventory.targets.get(related)
    if target is None:
        yield f"{place}: unknown target {related!r}{_meant(related, inventory.targets)}"
        return
    driver = drivers.get(target.driver)
    if driver is None:
        return  # said where that target stands
    for verb in sorted(verbs - driver.verbs):
        yield f"{place}: {related} is run by {target.driver}, which cannot {verb}, and playbooks ask for that"


def _preconditions(inventory: Inventory, catalog: Catalog) -> Iterator[str]:
    """Commands that preconditions name, and that cannot be asked."""
    for playbook in catalog.playbooks.values():
        if not isinstance(playbook.precondition, CommandPrecondition):
            continue
        name = playbook.precondition.command
        place, target = f"targets.{name}", inventory.targets.get(name)
        if target is None:
            meant = _meant(name, inventory.targets)
            yield f"{place}: the precondition of {playbook.id} is this command, and there is no such target{meant}"
        elif target.driver != "command":
            yield f"{place}: the precondition of {playbook.id} needs the driver command, not {target.driver}"
        elif "{report}" in target.config.get("argv", ()):
            yield f"{place}: the precondition of {playbook.id} asks for an exit code; this command writes a {{report}}"


def _needed(catalog: Catalog) -> Mapping[Relation, frozenset[Verb]]:
    """What the playbooks do on each relation."""
    steps = [step for playbook in catalog.playbooks.values() for step in playbook.steps]
    return {
        relation: frozenset(step.verb for step in steps if step.on is relation and builtin_driver(step.verb) is None)
        for relation in Relation
    }


def _meant(word: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else f"; known are {', '.join(sorted(known)) or 'none'}"
