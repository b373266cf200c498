"""A supervised pool of processes: a watcher of a circus arbiter."""

from remediator.drivers.process.driver import ProcessConfig, ProcessDriver

__all__ = ["ProcessConfig", "ProcessDriver"]
