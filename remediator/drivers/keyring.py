"""Every secret that Grace was given: so that none of them is ever shown.

Files are looked at again each time: what was replaced since is known from then on. That is one `stat` a file, and all
that is done while none of them changes. The inventory is walked once, for it is never changed, only replaced: whoever
observes one of a thousand targets does not wait for the other ones.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import yaml

from catalog.config import GraceConfig
from catalog.inventory import Inventory
from remediator.drivers.redactor import SHORTEST, named

_LARGEST = 256 * 1024
_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)|pwd|secret|token|credential|(api|access|private|auth|client)[_-]?key|^key_file$", re.I
)


def secrets_of(config: GraceConfig, inventory: Inventory) -> frozenset[str]:
    """Passwords, tokens and keys that the configuration and the inventory name, and Grace's own.

    A file that cannot be read holds no secret that Grace knows; whoever needs it says so.
    """
    for known in _latest:
        if known.config is config and known.inventory is inventory:
            return known.secrets()
    keyring = _Keyring(config, inventory)
    _latest[:] = [keyring]
    return keyring.secrets()


class _File(NamedTuple):
    path: str
    whole: bool
    """All that stands in it is secret."""


_Version = tuple[int, ...] | None
"""Of a file, as it is now; None where there is none."""


class _Read(NamedTuple):
    """All that was secret when it was looked at last."""

    files: tuple[_File, ...]
    versions: tuple[_Version, ...]
    found: tuple[tuple[str, ...], ...]
    """In each file."""
    secrets: frozenset[str]


class _Keyring:
    """What one configuration and one inventory name."""

    def __init__(self, config: GraceConfig, inventory: Inventory) -> None:
        self.config = config
        self.inventory = inventory
        own = (
            config.prometheus.bearer_token_file, config.prometheus.password_file,
            config.alertmanager.bearer_token_file, config.alertmanager.password_file, config.session_secret,
            config.audit_key, *(channel.url_file for channel in config.notify),
        )  # fmt: skip
        named_there = [each for target in inventory.targets.values() for each in _in_setting("", target.config)]
        self._words = frozenset(each for each in named_there if isinstance(each, str)).union(
            named(config.ledger.url or "")
        )
        self._files = tuple(
            dict.fromkeys(
                (
                    *(_File(str(path), whole=True) for path in own if path is not None),
                    *(each for each in named_there if isinstance(each, _File)),
                )
            )
        )
        self._tokens = str(config.data_dir / "tokens")
        self._read: _Read | None = None

    def secrets(self) -> frozenset[str]:
        """The same set for as long as nothing changes."""
        known = self._read
        files = (*self._files, *_files_of(self._tokens))
        versions = tuple(_version(file.path) for file in files)
        if known is not None and (versions, files) == (known.versions, known.files):
            return known.secrets
        before = {} if known is None else {each[:2]: each[2] for each in zip(*known[:3], strict=True)}
        found = tuple(before[each] if each in before else _in_file(*each) for each in zip(files, versions, strict=True))
        secrets = frozenset(each for each in self._words.union(*found) if len(each) >= SHORTEST)
        self._read = _Read(files, versions, found, secrets)
        return secrets


_latest: list[_Keyring] = []


def _files_of(folder: str) -> tuple[_File, ...]:
    try:
        found = os.stat(folder)
        return _listed(folder, (found.st_ino, found.st_mtime_ns))
    except OSError:
        return ()


@lru_cache(maxsize=16)
def _listed(folder: str, version: tuple[int, ...]) -> tuple[_File, ...]:
    """What is in this version of a folder."""
    return tuple(_File(os.path.join(folder, name), whole=True) for name in sorted(os.listdir(folder)))


def _version(path: str) -> _Version:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    # The last: by it a file is new that can be read only now, or that has the time of an older one.
    version = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_ctime_ns)
    return version if stat.S_ISREG(found.st_mode) else None


def _in_setting(name: str, value: Any) -> Iterator[str | _File]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _in_setting(str(key), each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _in_setting(name, each)
    elif isinstance(value, str | Path):
        yield from _in_words(name, str(value))


def _in_words(name: str, value: str) -> Iterator[str | _File]:
    if name in ("kubeconfig", "hosts"):
        # A list of hosts is mostly not secret: only what it calls so.
        yield _File(value, whole=name != "hosts")
    elif _SECRET_NAME.search(name) and name.lower().endswith("file"):
        yield _File(value, whole=True)
    elif _SECRET_NAME.search(name):
        yield value
    for secret in named(value):
        yield secret
        yield unquote(secret)  # in an address it is written for addresses


def _in_file(file: _File, version: _Version) -> tuple[str, ...]:
    """What is secret in this version of it."""
    if version is None:
        return ()
    text = _content(file.path).strip()
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        document = None
    if isinstance(document, Mapping):
        # A kubeconfig, or a set of variables: its words are no secret, its values by these names are.
        return (*named(text), *_by_name(document))
    return (*named(text), *([text] if file.whole else ()))


def _by_name(document: Any) -> Iterator[str]:
    if isinstance(document, Mapping):
        for key, value in document.items():
            if isinstance(value, str) and _SECRET_NAME.search(str(key)):
                yield value
            else:
                yield from _by_name(value)
    elif isinstance(document, list):
        for each in document:
            yield from _by_name(each)


def _content(path: str) -> str:
    try:
        # Never waits: what was a file may be a pipe by now.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _LARGEST).decode("utf-8", "replace")
        finally:
            os.close(descriptor)
    except OSError:
        return ""
