"""Tools from the real distribution, and what is said where they cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stack import tools as tools_module
from stack.tools import ToolsMissing, find, find_all, present

UNPACK = """
import sys
from pathlib import Path
from stack import tools
from stack.tools import find
tools._SYSTEM_PLACES = ()
print(find("haproxy", Path(sys.argv[1]), print).path)
"""


@pytest.fixture
def only_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with everything of the system except the tools themselves; the folder that stands first on it."""
    first = tmp_path / "first"
    first.mkdir()
    monkeypatch.setenv("PATH", f"{first}:/usr/bin:/bin")
    monkeypatch.setattr(tools_module, "_SYSTEM_PLACES", ())
    return first


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.usefixtures("only_apt")
def test_two_that_unpack_at_once_both_get_a_tool_that_runs_and_leave_the_system_alone(tmp_path: Path) -> None:
    lists = sorted(os.listdir("/var/lib/apt/lists"))
    status = Path("/var/lib/dpkg/status").stat().st_mtime_ns
    folder = tmp_path / "a folder"
    both = [
        subprocess.Popen([sys.executable, "-c", UNPACK, str(folder)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [one.communicate(timeout=240)[0].splitlines() for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert [lines[-1] for lines in told] == [str(folder / "usr" / "bin" / "haproxy")] * 2
    assert sum("unpacked haproxy" in line for lines in told for line in lines) == 1
    version = subprocess.run([folder / "usr" / "bin" / "haproxy", "-v"], capture_output=True, text=True, check=True)
    assert "HAProxy version" in version.stdout
    assert not list(folder.glob(".unpack-*"))
    assert sorted(os.listdir("/var/lib/apt/lists")) == lists
    assert Path("/var/lib/dpkg/status").stat().st_mtime_ns == status

    moved = folder.rename(tmp_path / "moved")
    assert present("haproxy", moved) is not None


def test_a_version_that_is_too_old_is_passed_over(only_apt: Path, tmp_path: Path) -> None:
    program(only_apt, "promtool", "echo 'promtool, version 2.31.0 (branch: x)'")
    assert present("promtool", tmp_path / "none") is None
    ours = tmp_path / "ours"
    (ours / "usr" / "bin").mkdir(parents=True)
    program(ours / "usr" / "bin", "promtool", "echo 'promtool, version 2.42.0+ds (branch: x)'")
    found = find("promtool", ours)
    assert (found.path, found.version) == (ours / "usr" / "bin" / "promtool", "2.42.0+ds")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'E: Failed to fetch: no network' >&2; exit 100", "Failed to fetch: no network"),
        ("exit 0", "apt-get brought no archive for prometheus"),
    ],
)
def test_where_apt_cannot_help_the_exact_commands_are_given_and_nothing_is_left(
    only_apt: Path, tmp_path: Path, script: str, said: str
) -> None:
    program(only_apt, "apt-get", script)
    with pytest.raises(ToolsMissing) as missing:
        find_all(["prometheus", "promtool"], tmp_path / "tools")
    text = str(missing.value)
    assert said in text
    assert "sudo apt-get update && sudo apt-get install --no-install-recommends prometheus\n" in text
    assert "prometheus ≥ 2.42, promtool ≥ 2.42" in text
    assert not list((tmp_path / "tools").glob(".unpack-*"))
    assert not (tmp_path / "tools" / "usr").exists()


def test_without_apt_the_commands_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only_apt: Path) -> None:
    monkeypatch.setenv("PATH", str(only_apt))
    with pytest.raises(ToolsMissing, match="this machine has no apt-get, dpkg"):
        find("haproxy", tmp_path / "tools")


def test_the_shipped_fixtures_run(tools: dict[str, tools_module.Tool], free_port: Callable[[], int]) -> None:
    assert set(tools) == {"prometheus", "promtool", "alertmanager", "amtool", "haproxy"}
    assert len({free_port() for _ in range(20)}) == 20
