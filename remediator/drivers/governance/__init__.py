"""Grace itself as a target: what it may do alone."""

from remediator.drivers.governance.driver import GovernanceConfig, GovernanceDriver

__all__ = ["GovernanceConfig", "GovernanceDriver"]
