"""The drivers there are, by the name that an inventory uses. No scanning: what is not in this table does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from catalog.model import Verb
from remediator.drivers.ansible import AnsibleDriver
from remediator.drivers.base import Driver
from remediator.drivers.celery import CeleryDriver
from remediator.drivers.command import CommandDriver
from remediator.drivers.compose import ComposeDriver
from remediator.drivers.docker import DockerDriver
from remediator.drivers.files import FilesDriver
from remediator.drivers.governance import GovernanceDriver
from remediator.drivers.gunicorn import GunicornDriver
from remediator.drivers.haproxy import HAProxyDriver
from remediator.drivers.http import HttpDriver
from remediator.drivers.kubernetes import KubernetesDriver
from remediator.drivers.notify import NotifyDriver
from remediator.drivers.postmortem import PostmortemDriver
from remediator.drivers.process import ProcessDriver
from remediator.drivers.sql import SqlDriver
from remediator.drivers.systemd import SystemdDriver

DRIVERS: Mapping[str, type[Driver]] = {
    "ansible": AnsibleDriver,
    "celery": CeleryDriver,
    "command": CommandDriver,
    "compose": ComposeDriver,
    "docker": DockerDriver,
    "files": FilesDriver,
    "governance": GovernanceDriver,
    "gunicorn": GunicornDriver,
    "haproxy": HAProxyDriver,
    "http": HttpDriver,
    "kubernetes": KubernetesDriver,
    "notify": NotifyDriver,
    "postmortem": PostmortemDriver,
    "process": ProcessDriver,
    "sql": SqlDriver,
    "systemd": SystemdDriver,
}


@dataclass(frozen=True, slots=True)
class Extra:
    """Packages that a driver needs and Grace alone does not bring; they are imported when the driver first acts."""

    module: str
    """What cannot be imported where they are missing."""
    requirements: tuple[str, ...]
    """What pip installs. The extra of the driver's name in pyproject.toml says the same."""


EXTRAS: Mapping[str, Extra] = {
    "ansible": Extra("ansible_runner", ("ansible-core>=2.17", "ansible-runner>=2.4")),
    "celery": Extra("celery", ("celery[redis]>=5.5",)),
    "compose": Extra("aiodocker", ("aiodocker>=0.27",)),
    "docker": Extra("aiodocker", ("aiodocker>=0.27",)),
    "kubernetes": Extra("kubernetes_asyncio", ("kubernetes-asyncio>=32",)),
    "systemd": Extra("dbus_fast", ("dbus-fast>=5",)),
}

_BUILTIN: Mapping[Verb, str] = {Verb.GOVERN: "governance", Verb.REPORT: "postmortem", Verb.NOTIFY: "notify"}


def builtin_driver(verb: Verb) -> str | None:
    """The driver of a verb that acts on Grace itself, whatever the inventory says; None for all other verbs."""
    return _BUILTIN.get(verb)
