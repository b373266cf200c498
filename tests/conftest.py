"""Fixtures for every test: the real programs that tests act on, and free ports."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from stack.tools import REQUIREMENTS, Tool, find_all

TOOLS_FOLDER = Path(__file__).parent.parent / ".grace" / "tools"


@pytest.fixture(scope="session")
def tools() -> Iterator[Mapping[str, Tool]]:
    """Every tool by name; unpacked into the repository's `.grace/tools` where the machine lacks them."""
    before = os.environ.get("GRACE_TOOLS")
    os.environ["GRACE_TOOLS"] = before or str(TOOLS_FOLDER)
    yield find_all(REQUIREMENTS, Path(os.environ["GRACE_TOOLS"]), print)
    if before is None:
        del os.environ["GRACE_TOOLS"]


@pytest.fixture(scope="session")
def prometheus_binary(tools: Mapping[str, Tool]) -> Path:
    return tools["prometheus"].path


@pytest.fixture(scope="session")
def promtool(tools: Mapping[str, Tool]) -> Path:
    return tools["promtool"].path


@pytest.fixture(scope="session")
def alertmanager_binary(tools: Mapping[str, Tool]) -> Path:
    return tools["alertmanager"].path


@pytest.fixture(scope="session")
def amtool(tools: Mapping[str, Tool]) -> Path:
    return tools["amtool"].path


@pytest.fixture(scope="session")
def haproxy_binary(tools: Mapping[str, Tool]) -> Path:
    return tools["haproxy"].path


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives a TCP port of the loopback that nobody listens on; another one at every call."""
    given: set[int] = set()

    def one() -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            if port not in given:
                given.add(port)
                return port

    return one
