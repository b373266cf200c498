"""A real HAProxy with a backend of two servers."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catalog.inventory import Target
from catalog.model import Verb
from tests.contract.drivers.rigs.base import Rig

CONFIG = """
global
    stats socket {socket} mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
backend api
    balance roundrobin
    server api-1 127.0.0.1:1 weight 100
    server api-2 127.0.0.1:1 weight 100
"""


def runtime(path: Path, command: str) -> str:
    """HAProxy's answer, asked without the driver."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(5)
        link.connect(str(path))
        link.sendall(f"{command}\n".encode())
        parts = []
        while part := link.recv(65536):
            parts.append(part)
    return b"".join(parts).decode()


def weights(path: Path) -> dict[str, int]:
    return {name: int(runtime(path, f"get weight api/{name}").split()[0]) for name in ("api-1", "api-2")}


class HAProxyRig(Rig):
    kind = "haproxy"
    verb = Verb.SHIFT
    args: Mapping[str, Any] = {"factor": 0.2}
    resource = "api-1"
    expected = {"api-1": 20, "api-2": 100}  # noqa: RUF012
    step_timeout = 1.0

    def start(self) -> None:
        self.socket = self.folder / "haproxy.sock"
        file = self.folder / "haproxy.cfg"
        file.write_text(CONFIG.format(socket=self.socket))
        self.spawn(str(self.tools["haproxy"]), "-W", "-db", "-f", str(file), ready=self._answers)

    def _answers(self) -> bool:
        try:
            return "Name" in runtime(self.socket, "show info")
        except OSError:
            return False

    def config(self) -> Mapping[str, Any]:
        return {"socket": self.socket, "backend": "api", "servers": {"api-1": "api-1", "api-2": "api-2"}}

    def effect(self) -> Any:
        return weights(self.socket)

    def hanging(self) -> Target:
        return self.target(socket=self.server(None))

    def garbled(self) -> Target:
        return self.target(socket=self.server(b"1\n# be_id srv_name srv_uweight\n\xff\x00 one two\n"))
