"""Fixtures for every test: the real programs that tests act on, and free ports."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from stack.packages import PackageFolder, locked
from stack.ports import any_free
from stack.tools import REQUIREMENTS, Tool, find_all

NEWER_SUITE = "forky"
"""Of Debian: the one with Prometheus 3.x and Alertmanager 0.33."""
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
def newer_tools(tools: Mapping[str, Tool]) -> Mapping[str, Path]:
    """Prometheus, promtool, Alertmanager and amtool of the distribution's next suite (Prometheus 3.x)."""
    folder = Path(os.environ["GRACE_TOOLS"]).parent / "tools-newer"
    packages = {
        "prometheus": "prometheus",
        "promtool": "promtool",
        "alertmanager": "prometheus-alertmanager",
        "amtool": "prometheus-alertmanager",
    }
    with locked(folder, print):
        roots = {path.name.split("_")[0]: path for path in (folder / "packages").glob("*")}
        if not set(packages.values()) <= set(roots):
            roots = PackageFolder(folder, print, NEWER_SUITE).unpack(sorted(set(packages.values())))
    names = {"alertmanager": "prometheus-alertmanager"}
    return {name: roots[package] / "usr" / "bin" / names.get(name, name) for name, package in packages.items()}


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
        port = any_free(given)
        given.add(port)
        return port

    return one
