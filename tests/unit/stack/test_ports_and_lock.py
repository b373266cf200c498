"""Ports and the lock: what is taken is said, what is free is found, one run per data folder."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.lock import data_lock
from stack.ports import Ports, inner_ports, settled
from stack.problem import Unusable

PARTS = ("exporter", "remediator", "prometheus", "alertmanager", "loadbalancer")


def test_zero_picks_a_different_free_port_for_each_part() -> None:
    ports = settled(Ports(0, 0, 0, 0, 0), PARTS)
    found = {ports.exporter, ports.remediator, ports.prometheus, ports.alertmanager, ports.loadbalancer}
    assert len(found) == 5
    assert 0 not in found


def test_one_port_for_two_parts_is_refused(free_port: Callable[[], int]) -> None:
    port = free_port()
    with pytest.raises(Unusable, match=rf"port {port} was given to several parts: --exporter-port, --remediator-port"):
        settled(Ports(port, port, 0, 0, 0), PARTS)


def test_who_holds_a_port_is_said(free_port: Callable[[], int]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unusable, match=rf"port {port} \(alertmanager\) is in use by .+; .*--alertmanager-port"):
            settled(Ports(0, 0, 0, port, 0), PARTS)


def test_inner_ports_are_free_distinct_and_not_those_of_connections() -> None:
    with socket.socket() as taken:
        mine = inner_ports(1, Ports())[0]
        taken.bind(("127.0.0.1", mine))
        taken.listen()
        found = inner_ports(50, Ports(exporter=mine))
        assert mine not in found
        assert len(set(found)) == 50
        assert all(20000 <= port < 32768 for port in found)


def test_the_lock_is_held_by_one_and_leaves_no_file(tmp_path: Path) -> None:
    imports = "import sys; from pathlib import Path; from stack.lock import data_lock"
    script = f"{imports}; data_lock(Path(sys.argv[1])).__enter__()"
    with data_lock(tmp_path):
        assert (tmp_path / "up.lock").read_text().strip().isdigit()
        with pytest.raises(Unusable, match=r"grace up \(pid \d+\) is already running on"), data_lock(tmp_path):
            pass
        other = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert "Unusable" in other.stderr
        assert (tmp_path / "up.lock").exists()
    assert not (tmp_path / "up.lock").exists()
    with data_lock(tmp_path):
        pass


def test_a_lock_file_that_a_killed_run_left_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "up.lock").write_text("1\n")
    with data_lock(tmp_path):
        assert (tmp_path / "up.lock").read_text() != "1\n"
