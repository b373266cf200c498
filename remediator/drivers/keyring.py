"""Every secret that Grace was given: so that none of them is ever shown.

Files are read again each time: what was replaced since is known from then on. The inventory is walked once, for it is
never changed, only replaced: whoever observes one of a thousand targets does not wait for the other ones.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
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
    own = (
        config.prometheus.bearer_token_file, config.prometheus.password_file, config.alertmanager.bearer_token_file,
        config.alertmanager.password_file, config.session_secret,
        config.audit_key, *_files_of(config.data_dir / "tokens"),
        *(channel.url_file for channel in config.notify),
    )  # fmt: skip
    found = {secret for path in own if path is not None for secret in _in_file(path)}
    found.update(named(config.ledger.url or ""))
    walked = _walked(inventory)
    found.update(walked.words)
    for file in walked.files:
        found.update(_in_file(file.path, whole=file.whole))
    return frozenset(secret for secret in found if len(secret) >= SHORTEST)


def _files_of(folder: Path) -> tuple[Path, ...]:
    try:
        found = folder.stat()
        return _listed(folder, (found.st_ino, found.st_mtime_ns))
    except OSError:
        return ()


@lru_cache(maxsize=16)
def _listed(folder: Path, version: tuple[int, ...]) -> tuple[Path, ...]:
    """What is in this version of a folder."""
    return tuple(folder / name for name in sorted(os.listdir(folder)))


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    whole: bool
    """All that stands in it is secret."""


@dataclass(frozen=True, slots=True)
class _Walked:
    inventory: Inventory
    words: frozenset[str]
    files: frozenset[_File]


_latest: list[_Walked] = []


def _walked(inventory: Inventory) -> _Walked:
    """The secrets that stand in an inventory, and the files of those that stand elsewhere."""
    for known in _latest:
        if known.inventory is inventory:
            return known
    found = [each for target in inventory.targets.values() for each in _in_setting("", target.config)]
    walked = _Walked(
        inventory,
        frozenset(each for each in found if isinstance(each, str)),
        frozenset(each for each in found if isinstance(each, _File)),
    )
    _latest[:] = [walked]
    return walked


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
        yield _File(Path(value), whole=name != "hosts")
    elif _SECRET_NAME.search(name) and name.lower().endswith("file"):
        yield _File(Path(value), whole=True)
    elif _SECRET_NAME.search(name):
        yield value
    for secret in named(value):
        yield secret
        yield unquote(secret)  # in an address it is written for addresses


def _in_file(path: Path, *, whole: bool = True) -> tuple[str, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    if not stat.S_ISREG(found.st_mode):
        return ()
    return _parsed(path, whole, (found.st_ino, found.st_mtime_ns, found.st_size))


@lru_cache(maxsize=256)
def _parsed(path: Path, whole: bool, version: tuple[int, ...]) -> tuple[str, ...]:
    """What is secret in this version of a file."""
    text = _content(path).strip()
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        document = None
    if isinstance(document, Mapping):
        # A kubeconfig, or a set of variables: its words are no secret, its values by these names are.
        return (*named(text), *_by_name(document))
    return (*named(text), *([text] if whole else ()))


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


def _content(path: Path) -> str:
    try:
        # Never waits: what was a file may be a pipe by now.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _LARGEST).decode("utf-8", "replace")
        finally:
            os.close(descriptor)
    except OSError:
        return ""
