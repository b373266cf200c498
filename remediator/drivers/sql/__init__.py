"""A setting in a database: one row that a service obeys."""

from remediator.drivers.sql.driver import SqlConfig, SqlDriver

__all__ = ["SqlConfig", "SqlDriver"]
