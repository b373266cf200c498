"""The addresses that are listened on, and the web configuration behind them, read again whenever its files change."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from catalog.fault import CatalogError
from exporter.door import Door
from exporter.process import Reloads
from exporter.web_config import Fingerprint, WebConfig, fingerprint, load_web_config, tls_context

log = structlog.get_logger(__name__)

Sockets = Callable[[], list[socket.socket]]
"""Opens what is listened on. Raises ListenError."""

LOOK_EVERY = 1.0
"""Seconds between two looks at the files of the web configuration."""
BACKLOG = 128

FIRST_INHERITED = 3
"""The file number of the first socket that systemd hands over."""


class ListenError(Exception):
    """There is nothing that can be listened on; says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. An empty host is every interface."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """From `HOST:PORT`, `[V6]:PORT` or `:PORT`. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not host.startswith("[")):
            raise ValueError(f"{text!r} is not an address; write it like 127.0.0.1:9781 or [::1]:9781")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    def __str__(self) -> str:
        host = self.host or "*"
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


class Listener:
    """Sockets that stay open while what answers on them is replaced. `door` holds the configuration of the moment."""

    def __init__(self, sockets: Sockets, file: Path | None, clock: Callable[[], float] = time.time) -> None:
        """Reads the file, where there is one. Raises CatalogError."""
        self._open = sockets
        self._file = file
        self._clock = clock
        self._files: tuple[Path, ...] = ()
        self._seen: Fingerprint = ()
        self.reloads = Reloads("web_config")
        config, self._context = self._load()
        self.door = Door(config)
        self._sockets: list[socket.socket] = []
        self._sites: list[web.SockSite] = []

    async def start(self, runner: web.BaseRunner) -> None:
        """Listen. Raises ListenError."""
        self._runner = runner
        self._sockets = await asyncio.to_thread(self._open)
        await self._answer()

    @property
    def addresses(self) -> Sequence[str]:
        """Where it listens, once it does: `HOST:PORT`, or the path of a socket that systemd opened."""
        return [
            str(name) if each.family == socket.AF_UNIX else str(Address(*name[:2]))
            for each in self._sockets
            for name in (each.getsockname(),)
        ]

    async def follow(self) -> None:
        """Take every change of the web configuration's files, for ever. What is not usable changes nothing."""
        while self._file is not None:
            await asyncio.sleep(LOOK_EVERY)
            if await asyncio.to_thread(self._fingerprint) != self._seen:
                await self._reload()

    def close(self) -> None:
        """Give the address free."""
        for each in self._sockets:
            each.close()

    async def _reload(self) -> None:
        try:
            self.door.config, self._context = await asyncio.to_thread(self._load)
            await self._answer()
        except CatalogError as error:
            self.reloads.successful = False
            log.error("web configuration not changed", faults=str(error))
        except OSError as error:
            # As many files are open as may be: the next look finds a change again.
            self._seen = ()
            self.reloads.successful = False
            log.error("web configuration not changed yet", faults=error.strerror)
        else:
            log.info("web configuration read again")

    def _load(self) -> tuple[WebConfig, ssl.SSLContext | None]:
        if self._file is None:
            return WebConfig(), None
        # Looked at before they are read: what changes meanwhile is seen as a change the next time.
        mark = fingerprint((self._file,))
        self._seen = mark + fingerprint(self._files)
        config = load_web_config(self._file)
        self._files = config.files()
        self._seen = mark + fingerprint(self._files)
        context = tls_context(config, self._file)
        self.reloads.successful, self.reloads.at = True, self._clock()
        return config, context

    def _fingerprint(self) -> Fingerprint:
        return fingerprint((self._file, *self._files)) if self._file is not None else ()

    async def _answer(self) -> None:
        fresh: list[web.SockSite] = []
        try:
            for each in self._sockets:
                site = web.SockSite(self._runner, each.dup(), ssl_context=self._context)
                await site.start()
                fresh.append(site)
        except OSError:
            for site in fresh:
                await site.stop()
            raise
        before, self._sites = self._sites, fresh
        for site in before:
            await site.stop()


def bound(addresses: Sequence[Address]) -> list[socket.socket]:
    """A socket for each address that each of these has. Raises ListenError; then none stays open."""
    found: list[socket.socket] = []
    for address in addresses:
        try:
            found += _bound(address)
        except OSError as error:
            for each in found:
                each.close()
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise ListenError(f"cannot listen on {address}: {reason}") from error
    return found


def inherited(environment: Mapping[str, str] = os.environ) -> list[socket.socket]:
    """The sockets that systemd opened for this process. Raises ListenError where there are none."""
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal() or not int(count):
        raise ListenError("systemd hands no socket over: start it by a .socket unit, or leave --web.systemd-socket out")
    found = [socket.socket(fileno=FIRST_INHERITED + number) for number in range(int(count))]
    for each in found:
        each.set_inheritable(False)
        each.setblocking(False)
    return found


def _bound(address: Address) -> list[socket.socket]:
    """A socket for each address that the host has. Raises OSError."""
    infos = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found: list[socket.socket] = []
    absent: OSError | None = None
    for family, _, _, _, where in dict.fromkeys(infos):
        try:
            found.append(_listening(family, where))
        except OSError as error:
            if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                absent = error  # A machine without IPv6 has names for its addresses all the same.
                continue
            for each in found:
                each.close()
            raise
    if absent is not None and not found:
        raise absent
    return found


def _listening(family: socket.AddressFamily, where: Any) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.setblocking(False)
        one.bind(where)
        one.listen(BACKLOG)
    except OSError:
        one.close()
        raise
    return one
