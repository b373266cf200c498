"""A real Prometheus scrapes over TLS, with a client's certificate and a password; certificates and users change."""

import json
import socket
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.integration.exporter.certificates import Authority
from tests.integration.exporter.conftest import get, until

MACHINE = """
collectors:
  - {name: machine, collector: psutil, metric_ids: [infra.memory_utilization]}
"""
WEB = """
tls_server_config:
  cert_file: exporter.crt
  key_file: exporter.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  client_allowed_sans: [prometheus]
basic_auth_users:
  scraper: {hash}
"""
SCRAPE = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: grace
    scheme: https
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
    basic_auth: {{username: scraper, password_file: password}}
    tls_config: {{ca_file: ca.crt, cert_file: prometheus.crt, key_file: prometheus.key}}
"""


def web_config(folder: Path, password: str) -> None:
    stored = bcrypt.hashpw(password.encode(), bcrypt.gensalt(6)).decode()
    fresh = folder / "web.new"
    fresh.write_text(WEB.format(hash=stored))
    fresh.replace(folder / "web.yml")


class Secured:
    """An exporter behind TLS, the authority that both sides trust, and requests in any client's name."""

    def __init__(self, exporter: Any, folder: Path) -> None:
        self.exporter = exporter
        self.authority = Authority(folder)
        for name in ("exporter", "prometheus", "stranger"):
            self.authority.issue(name)
        web_config(folder, "first password")
        (folder / "password").write_text("first password")
        exporter.configure(MACHINE)
        exporter.process = subprocess.Popen(
            exporter.command("--web.config.file", str(folder / "web.yml")),
            stderr=(folder / "exporter.log").open("ab"),
        )
        until(lambda: self.status("prometheus", "first password") == 200)

    def status(self, client: str | None, password: str) -> int:
        """What a scrape is answered; raises OSError where there is no connection."""
        with self.open(client, password) as answer:
            return int(answer.status)

    def serial(self) -> str:
        """The serial number of the certificate that is shown."""
        context = self.context("prometheus")
        with (
            socket.create_connection(("127.0.0.1", self.exporter.port), 5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
        ):
            shown = secured.getpeercert()
        assert shown is not None
        return str(shown["serialNumber"])

    def context(self, client: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority.file)
        if client is not None:
            folder = self.authority.folder
            context.load_cert_chain(folder / f"{client}.crt", folder / f"{client}.key")
        return context

    def open(self, client: str | None, password: str) -> Any:
        request = urllib.request.Request(f"https://127.0.0.1:{self.exporter.port}/metrics")
        request.add_header("Authorization", "Basic " + b64encode(f"scraper:{password}".encode()).decode())
        try:
            return urllib.request.urlopen(request, timeout=10, context=self.context(client))
        except urllib.error.HTTPError as error:
            return error


@pytest.fixture
def secured(exporter: Any, tmp_path: Path) -> Secured:
    return Secured(exporter, tmp_path)


@pytest.fixture
def prometheus(
    secured: Secured, prometheus_binary: Path, free_port: Callable[[], int], tmp_path: Path
) -> Iterator[Callable[[str], list[Any]]]:
    """Asks a Prometheus that scrapes the exporter a query: its result."""
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(SCRAPE.format(port=secured.exporter.port))
    flags = {"config.file": config, "storage.tsdb.path": tmp_path / "tsdb", "web.listen-address": f"127.0.0.1:{port}"}
    argv = [str(prometheus_binary), *(f"--{name}={value}" for name, value in flags.items())]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)

    def ask(query: str) -> list[Any]:
        said = get(f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}")
        return list(json.loads(said)["data"]["result"])

    yield ask
    process.terminate()
    process.wait(20)


def test_prometheus_scrapes_with_a_certificate_and_a_password(secured: Secured, prometheus: Any) -> None:
    until(lambda: prometheus("up == 1"), 30)
    assert prometheus("grace_host_memory_utilization_ratio > 0")


def test_without_them_nobody_does(secured: Secured) -> None:
    assert secured.status("stranger", "first password") == 403
    assert secured.status("prometheus", "wrong password") == 401
    with pytest.raises(OSError, match=r"(?i)certificate|reset|closed"):
        secured.status(None, "first password")
    with pytest.raises(OSError):
        get(f"http://127.0.0.1:{secured.exporter.port}/metrics")


def test_changed_users_and_certificates_count_without_a_restart(secured: Secured, tmp_path: Path) -> None:
    web_config(tmp_path, "second password")
    until(lambda: secured.status("prometheus", "second password") == 200)
    assert secured.status("prometheus", "first password") == 401
    before = secured.serial()
    secured.authority.issue("exporter")
    until(lambda: secured.serial() != before)
    assert secured.status("prometheus", "second password") == 200


def test_a_broken_change_changes_nothing_and_says_so(secured: Secured, tmp_path: Path) -> None:
    successful = "grace_exporter_web_config_last_reload_successful"

    def told() -> str:
        with secured.open("prometheus", "first password") as answer:
            lines: list[str] = answer.read().decode().splitlines()
        return next(line for line in lines if line.startswith(f"{successful} "))

    assert told() == f"{successful} 1.0"
    (tmp_path / "exporter.key").rename(tmp_path / "away.key")
    until(lambda: told() == f"{successful} 0.0")
    assert "No such file or directory" in secured.exporter.log()
    assert secured.exporter.log().count("web configuration not changed") == 1
    (tmp_path / "away.key").rename(tmp_path / "exporter.key")
    until(lambda: told() == f"{successful} 1.0")
