"""What the stages work with. Constructed by `remediator.app`, and by nobody else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from catalog.config import GraceConfig
from catalog.inventory import Inventory, Target
from catalog.model import Catalog
from catalog.policy import Policy
from remediator.alertmanager import Alertmanager
from remediator.audit.checkpoint import Checkpointer
from remediator.clock import Clock
from remediator.drivers.base import Driver
from remediator.ledger.engine import Ledger
from remediator.prometheus import Prometheus

GOVERNANCE = Target(name="governance", driver="governance")
"""The target that is Grace itself: always there, whatever the inventory lists."""


@dataclass(slots=True)
class Parts:
    """The remediator's parts. `catalog`, `inventory` and `policy` are replaced as a whole by a reload."""

    ledger: Ledger
    clock: Clock
    config: GraceConfig
    catalog: Catalog
    inventory: Inventory
    policy: Policy
    prometheus: Prometheus
    alertmanager: Alertmanager
    drivers: Mapping[str, Driver]
    checkpointer: Checkpointer
    owner: str
    wake: Callable[[], None] = lambda: None
    """Tell the scheduler that something is due."""
    publish: Callable[[str, str], None] = lambda kind, name: None
    """Tell whoever watches (the event stream) that something changed: kind and id."""
    count: Callable[[str, int], None] = lambda name, by: None
    """Count something that happened, for the metrics: its name there, and how often."""
    lease: float = 60.0
    pending_policy: Policy | None = None
    """A changed policy file that loosens something: it waits for an admin, the stricter of both is in force."""
    confirmed_by: str = ""
    """Who last put a looser policy file in force."""
    pending: frozenset[str] = frozenset()
    """Dotted names of what the pending file loosens."""

    @property
    def reports(self) -> Path:
        return self.config.data_dir / "reports"

    def target(self, name: str | None) -> Target | None:
        """The inventory's target of this name; Grace itself under `governance`."""
        if name is None:
            return None
        return self.inventory.targets.get(name) or (GOVERNANCE if name == GOVERNANCE.name else None)
