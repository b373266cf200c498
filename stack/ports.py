"""The TCP ports of the stack, all on the loopback."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import psutil

from stack.problem import Unusable

HOST = "127.0.0.1"
INNER = range(20000, 32768)
"""Where free ports are looked for: below Linux's ephemeral range, so that nobody's connection takes one meanwhile."""


@dataclass(frozen=True, slots=True)
class Ports:
    """One port a part. 0 means: any free one, picked by `settled`."""

    exporter: int = 9781
    remediator: int = 9782
    prometheus: int = 9790
    alertmanager: int = 9793
    loadbalancer: int = 9780

    def address(self, part: str) -> str:
        """`127.0.0.1:PORT` of a part."""
        return f"{HOST}:{asdict(self)[part]}"

    def url(self, part: str) -> str:
        return f"http://{self.address(part)}"


def settled(asked: Ports, parts: tuple[str, ...]) -> Ports:
    """The ports with every 0 replaced by a free one. Raises Unusable, naming who holds a port that is in use."""
    wanted: Mapping[str, int] = asdict(asked)
    for part in parts:
        if wanted[part] and not is_free(wanted[part]):
            raise Unusable(
                f"port {wanted[part]} ({part}) is in use{_holder(wanted[part])}; "
                f"stop that, or choose another port with --{part}-port (0 picks a free one)"
            )
    taken = {port for port in wanted.values() if port}
    chosen = dict(wanted)
    for part in parts:
        if not wanted[part]:
            chosen[part] = any_free(taken)
            taken.add(chosen[part])
    twice = {port for port in chosen.values() if list(chosen.values()).count(port) > 1}
    if twice:
        names = ", ".join(f"--{part}-port" for part, port in chosen.items() if port in twice)
        raise Unusable(f"port {twice.pop()} was given to several parts: {names}")
    return Ports(**chosen)


def inner_ports(count: int, taken: Ports) -> tuple[int, ...]:
    """Ports that nobody outside needs to know: any free ones, so that stacks that start together do not meet."""
    used = set(asdict(taken).values())
    found: list[int] = []
    for _ in range(count):
        found.append(any_free(used | set(found)))
    return tuple(found)


def is_free(port: int) -> bool:
    """Can a server listen on this port of the loopback now?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def any_free(taken: set[int]) -> int:
    """A free port that is not in `taken`, below those that the kernel gives to outgoing connections by itself."""
    for port in random.sample(INNER, len(INNER)):
        if port not in taken and is_free(port):
            return port
    raise Unusable(f"no port from {INNER[0]} to {INNER[-1]} is free")


def _holder(port: int) -> str:
    """` by haproxy (pid 12)`, where this user may see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        return ""
    return ""
