"""The drivers there are, by the name that an inventory uses. No scanning: what is not in this table does not exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module

from catalog.model import Verb
from remediator.drivers.base import Driver

_PLACES: Mapping[str, str] = {
    "ansible": "AnsibleDriver",
    "celery": "CeleryDriver",
    "command": "CommandDriver",
    "compose": "ComposeDriver",
    "docker": "DockerDriver",
    "files": "FilesDriver",
    "governance": "GovernanceDriver",
    "gunicorn": "GunicornDriver",
    "haproxy": "HAProxyDriver",
    "http": "HttpDriver",
    "kubernetes": "KubernetesDriver",
    "notify": "NotifyDriver",
    "postmortem": "PostmortemDriver",
    "process": "ProcessDriver",
    "sql": "SqlDriver",
    "systemd": "SystemdDriver",
}
"""The folder below this package, and the class that it brings."""


class _Drivers(Mapping[str, type[Driver]]):
    """Imports a driver when it is asked for: what no inventory names costs neither memory nor time."""

    def __getitem__(self, kind: str) -> type[Driver]:
        name = _PLACES[kind]
        driver: type[Driver] = getattr(import_module(f"remediator.drivers.{kind}"), name)
        return driver

    def __contains__(self, kind: object) -> bool:
        return kind in _PLACES

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


DRIVERS: Mapping[str, type[Driver]] = _Drivers()


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
