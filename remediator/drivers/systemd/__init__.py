"""Units of a systemd, through its bus: one service, or the numbered instances of a template."""

from remediator.drivers.systemd.driver import SystemdConfig, SystemdDriver

__all__ = ["SystemdConfig", "SystemdDriver"]
