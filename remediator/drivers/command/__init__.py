"""A job of the inventory: one fixed argument list, run without a shell, leaving a report."""

from remediator.drivers.command.driver import CommandConfig, CommandDriver

__all__ = ["CommandConfig", "CommandDriver"]
