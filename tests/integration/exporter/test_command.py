"""`grace exporter` as its users meet it: starting, stopping, reloading, refusing."""

import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

from tests.integration.exporter.conftest import free_port, get

MACHINE = """
collectors:
  - name: machine
    collector: psutil
    metric_ids: [infra.cpu_utilization, infra.memory_utilization, infra.disk_usage]
    volumes: [{resource: root, path: /}]
"""


def test_it_ends_at_once_and_cleanly_when_told_to(exporter: Any) -> None:
    exporter.configure(MACHINE)
    exporter.start()
    assert any(key.startswith("grace_threshold") for key in exporter.metrics())
    assert exporter.stop() == 0
    assert "event=stopped" in exporter.log()
    assert "Traceback" not in exporter.log()


def test_a_port_in_use_is_one_clear_line(exporter: Any) -> None:
    exporter.configure(MACHINE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", exporter.port))
        taken.listen()
        found = exporter.run("--log.level", "error")
    assert found.returncode == 2
    assert found.stderr == f"grace exporter: cannot listen on 127.0.0.1:{exporter.port}: Address already in use\n"


def test_several_addresses_are_listened_on(exporter: Any) -> None:
    exporter.configure(MACHINE)
    second = free_port()
    exporter.start("--web.listen-address", f"127.0.0.1:{second}")
    assert get(f"http://127.0.0.1:{second}/-/healthy")
    assert f"address=127.0.0.1:{exporter.port},127.0.0.1:{second}" in exporter.log()


def test_a_socket_that_systemd_opened_is_taken_over(exporter: Any) -> None:
    exporter.configure(MACHINE)
    found = exporter.run("--web.systemd-socket", "--log.level", "error")
    assert (found.returncode, found.stderr.startswith("grace exporter: systemd hands no socket over")) == (2, True)
    with socket.create_server(("127.0.0.1", 0)) as opened:
        # As systemd does it: the socket is file 3, and the environment tells whose it is.
        take = f'exec 3<&{opened.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@"'
        command = ["bash", "-c", take, *exporter.command("--web.systemd-socket")]
        with subprocess.Popen(command, pass_fds=[opened.fileno()]) as process:
            try:
                port = opened.getsockname()[1]
                assert get(f"http://127.0.0.1:{port}/-/healthy")
                assert process.poll() is None
            finally:
                process.terminate()


def test_a_socket_of_a_path_is_taken_over_and_named(exporter: Any, tmp_path: Path) -> None:
    exporter.configure(MACHINE)
    path = tmp_path / "exporter.sock"
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))
        opened.listen()
        take = f'exec 3<&{opened.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@"'
        command = ["bash", "-c", take, *exporter.command("--web.systemd-socket")]
        with subprocess.Popen(command, pass_fds=[opened.fileno()], stderr=subprocess.PIPE, text=True) as process:
            try:
                with socket.socket(socket.AF_UNIX) as asking:
                    asking.connect(str(path))
                    asking.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
                    assert asking.makefile("rb").readline() == b"HTTP/1.0 200 OK\r\n"
            finally:
                process.terminate()
            assert process.stderr is not None
            assert f" address={path} " in process.stderr.read()


def test_a_wrong_configuration_is_refused_with_its_places(exporter: Any) -> None:
    exporter.configure(MACHINE.replace("cpu_utilization", "cpu_utilisation"))
    for options in ((), ("--check-config",)):
        found = exporter.run(*options)
        assert found.returncode == 2
        assert "exporter.yml:5:" in found.stderr
        assert 'did you mean "infra.cpu_utilization"' in found.stderr
    exporter.configure(MACHINE)
    found = exporter.run("--check-config")
    assert (found.returncode, found.stdout) == (0, "1 collector, no fault\n")


def test_a_reload_is_whole_or_not_at_all(exporter: Any, tmp_path: Path) -> None:
    exporter.configure(MACHINE)
    exporter.start()
    usage = 'grace_volume_usage_ratio{resource="%s"}'
    ok = "grace_exporter_config_last_reload_successful"
    exporter.until(lambda found: usage % "root" in found)
    exporter.configure(MACHINE.replace("resource: root", "resource: 5five").replace("psutil", "psutill"))
    exporter.process.send_signal(signal.SIGHUP)
    exporter.until(lambda found: found[ok] == 0)
    assert usage % "root" in exporter.metrics()
    exporter.configure(MACHINE.replace("resource: root", "resource: other"))
    exporter.process.send_signal(signal.SIGHUP)
    exporter.until(lambda found: usage % "other" in found)
    found = exporter.metrics()
    assert found[ok] == 1
    assert usage % "root" not in found


def test_once_prints_what_promtool_has_nothing_to_say_about(exporter: Any, promtool: Path) -> None:
    exporter.configure(MACHINE)
    found = exporter.run("--once")
    assert found.returncode == 0
    for series in ("grace_host_cpu_utilization_ratio{", "grace_host_memory_utilization_ratio{", "grace_volume_usage"):
        assert f"\n{series}" in found.stdout
    command = [promtool, "check", "metrics"]
    checked = subprocess.run(command, input=found.stdout, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
