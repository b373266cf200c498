"""An inventory of a thousand targets answers for one of them without asking the others."""

from __future__ import annotations

import copy
import pickle

import pytest

from catalog.inventory import Inventory, Target


def target(name: str, group: str = "", *resources: str) -> Target:
    return Target(name=name, driver="sql", group=group, resources=resources)


def inventory(*targets: Target) -> Inventory:
    return Inventory(targets={each.name: each for each in targets})


FIRST, SECOND = target("a", "shop", "node-1", "node-1", "node-2"), target("b", "shop", "node-2")
ALONE = target("c", "", "node-3")


def asked() -> Inventory:
    """One that has answered already."""
    found = inventory(FIRST, SECOND, ALONE)
    assert found.for_resource("node-3") == (ALONE,)
    return found


@pytest.mark.parametrize(
    ("resource", "found"),
    [("node-1", (FIRST,)), ("node-2", (FIRST, SECOND)), ("node-3", (ALONE,)), ("node", ()), ("", ()), ("a", ())],
)
def test_the_targets_of_a_resource_are_those_that_list_it_exactly_in_their_order(
    resource: str, found: tuple[Target, ...]
) -> None:
    assert asked().for_resource(resource) == found


@pytest.mark.parametrize(("group", "size"), [("shop", 2), ("c", 1), ("a", 0), ("", 0)])
def test_a_group_is_as_large_as_there_are_targets_in_it(group: str, size: int) -> None:
    assert asked().group_size(group) == size


def test_a_copy_answers_for_its_own_targets() -> None:
    changed = asked().model_copy(update={"targets": {"d": target("d", "shop", "node-1")}})
    assert [each.name for each in changed.for_resource("node-1")] == ["d"]
    assert changed.for_resource("node-3") == ()
    assert changed.group_size("shop") == 1


def test_what_it_remembers_is_no_part_of_it() -> None:
    fresh, known = inventory(FIRST, SECOND, ALONE), asked()
    assert known == fresh
    assert fresh == known
    assert known != inventory(FIRST)
    assert known.model_dump() == fresh.model_dump()
    assert known.model_dump_json() == fresh.model_dump_json()
    assert repr(known) == repr(fresh)
    assert Inventory.model_validate(known) is known
    for again in (copy.deepcopy(known), pickle.loads(pickle.dumps(known)), known.model_copy(deep=True)):
        assert again == fresh
        assert again.for_resource("node-3") == (ALONE,)


def test_a_target_among_thousands_is_found_without_looking_at_them() -> None:
    class Watched(dict[str, Target]):
        looked = 0

        def values(self):  # type: ignore[no-untyped-def]
            Watched.looked += 1
            return super().values()

    many = {f"t{number}": target(f"t{number}", "", f"node-{number}") for number in range(2000)}
    known = inventory().model_copy(update={"targets": Watched(many)})
    for number in range(2000):
        assert known.for_resource(f"node-{number}") == (many[f"t{number}"],)
        assert known.group_size(f"t{number}") == 1
    assert Watched.looked <= 2
