"""A rig: a real thing that one driver acts on, and how to read from outside what became of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from catalog.config import GraceConfig
from catalog.inventory import Inventory, Target
from catalog.model import Verb
from remediator.clock import SystemClock
from remediator.drivers import open_driver
from remediator.drivers.base import Driver, StepContext, World
from remediator.drivers.keyring import secrets_of

NOBODY = 65534


class Rig:
    """One driver, one verb, one real target. Subclasses start the thing in `start`."""

    kind: str
    verb: Verb
    args: Mapping[str, Any] = {}
    resource = ""
    step_timeout = 10.0
    slow = False
    """Is its suite run by `make prove` only?"""

    def __init__(self, folder: Path, http: aiohttp.ClientSession, tools: Mapping[str, Path]) -> None:
        self.folder = folder
        self.http = http
        self.tools = tools
        self.stack = ExitStack()
        self.started_at = time.time()

    def start(self) -> None:
        """Begin the real thing; whatever it opens goes on `self.stack`."""

    def close(self) -> None:
        self.stack.close()

    def config(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def effect(self) -> Any:
        """What the verb changes, read without the driver."""
        raise NotImplementedError

    expected: Any
    """`effect()` after the verb, or a function of the effect before it."""
    undone: Any = None
    """`effect()` after the undo, where that is not the effect before it."""

    def hanging(self) -> Target | None:
        """The same target, never answering; None where nothing can hang."""
        return None

    def garbled(self) -> Target | None:
        """The same target, answering nonsense."""
        return None

    def forbid(self) -> None:
        """Make the thing refuse this process (which acts as nobody meanwhile)."""

    def target(self, **config: Any) -> Target:
        return Target(
            name="thing",
            driver=self.kind,
            limits={"min": 1, "max": 4},
            step_timeout=self.step_timeout,
            config={**self.config(), **config},
        )

    def world(self) -> World:
        return World(clock=SystemClock(), http=self.http, data_dir=self.folder, secrets=self.secrets)

    def secrets(self) -> frozenset[str]:
        """What Grace would know of this target."""
        return secrets_of(GraceConfig(data_dir=self.folder), Inventory(targets={"thing": self.target()}))

    def driver(self) -> Driver:
        return open_driver(self.kind, self.world())

    def context(self, **changes: Any) -> StepContext:
        given: dict[str, Any] = {
            "run_id": "run_1",
            "step": 0,
            "key": "run_1:0",
            "started_at": self.started_at,
            "resource": self.resource,
            "reports": self.folder / "reports",
            "incident_id": "inc_1",
            "playbook_id": "some-playbook",
        }
        return StepContext(**{**given, **changes})

    async def settled(self, driver: Driver, verb: Verb, desired: Mapping[str, Any], within: float = 15.0) -> bool:
        """Wait until the driver sees the desired state."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if driver.reached(verb, desired, await driver.observe(self.target(), verb, self.context())):
                return True
            await asyncio.sleep(0.05)
        return False

    def spawn(self, *argv: str, ready: Callable[[], bool], **more: Any) -> subprocess.Popen[bytes]:
        """A child that is ended, with its group, when the rig closes."""
        log = (self.folder / f"{Path(argv[0]).name}-{len(list(self.folder.iterdir()))}.log").open("wb")
        self.stack.callback(log.close)
        child = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True, **more)
        self.stack.callback(_end, child)
        until(lambda: ready() or child.poll() is not None, 15)
        assert child.poll() is None, Path(log.name).read_text()
        return child

    def server(self, reply: bytes | None) -> Path:
        """A unix socket whose server answers every connection with `reply`, or with nothing, for ever."""
        path = self.folder / f"fake-{len(list(self.folder.iterdir()))}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        self._serve(listener, reply)
        return path

    def tcp_server(self, reply: bytes | None) -> int:
        """The same on a port of the loopback."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        self._serve(listener, reply)
        return port

    def _serve(self, listener: socket.socket, reply: bytes | None) -> None:
        listener.listen()
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                if reply is None:
                    held.append(connection)
                    continue
                connection.recv(65536)
                connection.sendall(reply)
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()

        def stop() -> None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(5)
            for connection in held:
                connection.close()

        self.stack.callback(stop)


def until(holds: Callable[[], bool], within: float) -> None:
    """Wait until it holds; fails after so many seconds."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the leader to end its own children, then end what is left of the group."""
    for _ in range(10):
        # Asked again: circus drops a signal that arrives while it carries out a command.
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(0.7)
            break
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait(5)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose sockets' paths fit into a unix address."""
    folder = Path(tempfile.mkdtemp(prefix="gd-"))
    folder.chmod(0o755)  # so that what forbids is the thing itself
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Act without root's rights for a moment; nothing where this is no root."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    # The real user too: the kernel lets a process signal its own user's. The saved one leads back.
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setresuid(0, 0, 0)
        os.setegid(0)
