"""How verbs are done, observed and undone on each kind of target: a folder and a row of `DRIVERS` each.

Nothing here decides whether something may be done. Drivers act on what the inventory names, with numbers from the
catalog, and raise only the errors of `remediator.errors`.
"""

from __future__ import annotations

from catalog.inventory import Inventory
from catalog.model import Catalog
from remediator.drivers.check import faults, gaps
from remediator.drivers.discreet import open_driver
from remediator.drivers.table import DRIVERS, builtin_driver

__all__ = ["DRIVERS", "builtin_driver", "capability_gaps", "check_inventory", "open_driver"]


def check_inventory(inventory: Inventory, catalog: Catalog) -> list[str]:
    """Every fault of the inventory with its place (`targets.api.config.members: …`); empty when all is well.

    Unknown drivers, packages that are missing, wrong configuration, relations to targets that are not there or whose
    driver lacks the verb, limits the wrong way round. Connects to nothing.
    """
    return list(faults(inventory, catalog, DRIVERS))


def capability_gaps(inventory: Inventory, catalog: Catalog) -> list[str]:
    """What playbooks would do to a target that its driver cannot; for `grace doctor`. Not a fault: they are denied."""
    return list(gaps(inventory, catalog, DRIVERS))
