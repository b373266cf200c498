"""The drivers there are, by the name that an inventory uses. No scanning: what is not in this table does not exist."""

from __future__ import annotations

from collections.abc import Mapping

from catalog.model import Verb
from remediator.drivers.base import Driver
from remediator.drivers.command import CommandDriver
from remediator.drivers.files import FilesDriver
from remediator.drivers.governance import GovernanceDriver
from remediator.drivers.gunicorn import GunicornDriver
from remediator.drivers.haproxy import HAProxyDriver
from remediator.drivers.notify import NotifyDriver
from remediator.drivers.postmortem import PostmortemDriver
from remediator.drivers.process import ProcessDriver
from remediator.drivers.sql import SqlDriver

DRIVERS: Mapping[str, type[Driver]] = {
    "command": CommandDriver,
    "files": FilesDriver,
    "governance": GovernanceDriver,
    "gunicorn": GunicornDriver,
    "haproxy": HAProxyDriver,
    "notify": NotifyDriver,
    "postmortem": PostmortemDriver,
    "process": ProcessDriver,
    "sql": SqlDriver,
}

_BUILTIN: Mapping[Verb, str] = {Verb.GOVERN: "governance", Verb.REPORT: "postmortem", Verb.NOTIFY: "notify"}


def builtin_driver(verb: Verb) -> str | None:
    """The driver of a verb that acts on Grace itself, whatever the inventory says; None for all other verbs."""
    return _BUILTIN.get(verb)
