"""Telling people: a line in a file, and in the log."""

from remediator.drivers.notify.driver import NotifyConfig, NotifyDriver

__all__ = ["NotifyConfig", "NotifyDriver"]
