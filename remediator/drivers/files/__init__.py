"""Expired files below folders that the inventory allows."""

from remediator.drivers.files.driver import FilesConfig, FilesDriver

__all__ = ["FilesConfig", "FilesDriver"]
