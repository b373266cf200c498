"""`grace doctor` on a real stack: silent while all is right, and each broken setup found, with the right mend."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import yaml

from catalog.config import GraceConfig
from catalog.inventory import Inventory
from catalog.load import load_catalog, load_config, load_inventory
from remediator.clock import SystemClock
from remediator.drivers import table
from stack.doctor.examination import TEST_ALERT, examine
from stack.doctor.setup import Finding, Setup
from stack.tools import Tool
from tests.integration.stack.conftest import Up

Started = Callable[..., str]


@pytest.fixture(scope="module")
def up(start_up: Callable[..., Up], tmp_path_factory: pytest.TempPathFactory) -> Up:
    up = start_up(tmp_path_factory.mktemp("doctor") / "data")
    up.until("all green", 90)
    for _ in range(30):  # until everything was scraped once
        if doctor(up, "--no-test-alert").returncode == 0:
            break
    return up


def doctor(up: Up, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "grace", "doctor", "--data", str(up.data), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def config(up: Up) -> GraceConfig:
    return load_config(up.data / "grace.yml")


@pytest.fixture(scope="module")
def started(
    tools: Mapping[str, Tool], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, Mapping[str, Any], Sequence[str]], str]]:
    """Starts one more Prometheus or Alertmanager on a configuration; its URL, once it is ready."""
    running: list[subprocess.Popen[bytes]] = []

    def start(name: str, written: Mapping[str, Any], options: Sequence[str] = ()) -> str:
        folder = tmp_path_factory.mktemp(name)
        (folder / "config.yml").write_text(yaml.safe_dump(dict(written)))
        storage = "--storage.tsdb.path" if name == "prometheus" else "--storage.path"
        process = subprocess.Popen(
            [
                tools[name].path,
                f"--config.file={folder / 'config.yml'}",
                f"{storage}={folder}",
                "--web.listen-address=127.0.0.1:0",
                *(["--cluster.listen-address="] if name == "alertmanager" else []),
                *options,
            ],
            stderr=subprocess.DEVNULL,
        )
        running.append(process)
        return f"http://127.0.0.1:{_listening(process)}"

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


def _listening(process: subprocess.Popen[bytes]) -> int:
    """The port on which it answers that it is ready."""
    for _ in range(200):
        for connection in psutil.Process(process.pid).net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                port = int(connection.laddr.port)
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2) as answer:
                        if answer.status == 200:
                            return port
                except OSError:
                    continue
        psutil.Process(process.pid).cpu_percent(0.1)
    raise AssertionError("it did not become ready")


class _Later(SystemClock):
    """A clock that is a minute fast."""

    def now(self) -> float:
        return super().now() + 60.0


async def examined(
    config: GraceConfig, *, inventory: Inventory | None = None, clock: SystemClock | None = None, sends: bool = False
) -> list[Finding]:
    async with aiohttp.ClientSession() as http:
        found = inventory if inventory is not None else load_inventory(config.inventory)
        setup = Setup(config, load_catalog(config.catalog), found, clock or SystemClock(), http)
        answers = await examine(setup, without=() if sends else (TEST_ALERT,))
    return [finding for finding in answers if finding.is_wrong]


def changed(config: GraceConfig, **changes: Mapping[str, Any] | Any) -> GraceConfig:
    """The configuration with other values, those of sections laid over what stands there."""
    update = {
        key: getattr(config, key).model_copy(update=value) if isinstance(value, Mapping) else value
        for key, value in changes.items()
    }
    return config.model_copy(update=update)


def the(findings: list[Finding], check: str) -> Finding:
    found = [finding for finding in findings if finding.check == check]
    assert len(found) == 1, findings
    return found[0]


def test_a_good_setup_is_met_with_silence(up: Up) -> None:
    done = doctor(up)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert json.loads(doctor(up, "--no-test-alert", "--json").stdout) == {"findings": []}
    listed = doctor(up, "--no-test-alert", "--verbose")
    assert {line.split()[0] for line in listed.stdout.splitlines()} == {"ok"}


async def test_the_test_alert_opens_nothing(config: GraceConfig) -> None:
    assert await examined(config, sends=True) == []
    token = (config.data_dir / "tokens" / "admin").read_text()
    request = urllib.request.Request(f"{config.remediator_url}/api/v1/incidents")
    request.add_header("Authorization", f"Bearer {token}")
    with await asyncio.to_thread(urllib.request.urlopen, request) as answer:
        incidents = json.load(answer)["items"]
    assert not [each for each in incidents if each["metric_id"] == "GraceDoctor"]


async def test_a_remediator_that_is_away_is_said_once(config: GraceConfig, free_port: Callable[[], int]) -> None:
    (finding,) = await examined(changed(config, remediator_url=f"http://127.0.0.1:{free_port()}"))
    assert "the remediator cannot be reached" in finding.problem
    assert finding.mend.startswith("start it, or correct its url in grace.yml")


async def test_a_token_of_another_folder(config: GraceConfig, tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "admin").write_text("grace_" + "x" * 43)
    finding = the(await examined(changed(config, data_dir=tmp_path)), "token")
    assert "refuses the token" in finding.problem
    assert finding.mend.startswith("set data_dir")


async def test_clocks_apart(config: GraceConfig) -> None:
    findings = await examined(config, clock=_Later())
    assert {finding.check for finding in findings} == {"clocks"}
    assert {finding.mend for finding in findings} == {"synchronise both with NTP"}
    assert "-60 s from this one" in findings[0].problem


async def test_a_prometheus_that_knows_nothing(config: GraceConfig, started: Started) -> None:
    """No rules, no scrape jobs, no Alertmanager, hours of memory: each is found."""
    url = started("prometheus", {}, ["--storage.tsdb.retention.time=2h"])
    findings = await examined(changed(config, prometheus={"url": url}))
    rules, alerting, retention = (the(findings, check) for check in ("rules", "alerting", "retention"))
    assert "rules are not loaded: grace.api.latency_p95" in rules.problem
    assert rules.mend.startswith("`grace rules build --out DIR`")
    assert "sends its alerts nowhere" in alerting.problem
    assert alerting.mend == "add Alertmanager to `alerting:` in prometheus.yml"
    assert "for 2h only" in retention.problem
    assert retention.mend == "set --storage.tsdb.retention.time=15d"
    scraped = [finding for finding in findings if finding.check == "scraped"]
    assert [finding.mend for finding in scraped] == [
        f"add a scrape job {job} for it to prometheus.yml" for job in ("grace-exporter", "grace-remediator")
    ]


async def test_an_exporter_that_cannot_be_scraped(
    config: GraceConfig, started: Started, free_port: Callable[[], int]
) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    job = {"job_name": "grace-exporter", "scrape_interval": "1s", "static_configs": [{"targets": [nowhere]}]}
    url = started("prometheus", {"scrape_configs": [job]})
    for _ in range(50):
        findings = await examined(changed(config, prometheus={"url": url}))
        scraped = next(finding for finding in findings if finding.check == "scraped")
        if "cannot be scraped" in scraped.problem:
            break
        await asyncio.sleep(0.2)  # until the first scrape
    assert "connection refused" in scraped.problem
    assert scraped.mend == "start it, or correct the target of job grace-exporter"


async def test_rules_of_another_catalog(config: GraceConfig, tmp_path: Path) -> None:
    overlay = tmp_path / "ours.yaml"
    overlay.write_text(
        "metrics:\n  - id: infra.cpu_utilization\n    bands: {good: '< 60', warning: '60..80', critical: '> 80'}\n"
    )
    finding = the(await examined(changed(config, catalog=(overlay,))), "rules")
    assert "loaded rules are not what the catalog says: grace.infra.cpu_utilization" in finding.problem
    assert "`grace rules build` writes them again" in finding.mend


async def test_an_alertmanager_without_the_route(config: GraceConfig, started: Started) -> None:
    url = started("alertmanager", {"route": {"receiver": "people"}, "receivers": [{"name": "people"}]})
    findings = await examined(changed(config, alertmanager={"url": url}), sends=True)
    route = the(findings, "route")
    assert "no receiver 'grace' with a webhook" in route.problem
    assert "alertmanager/fragment.yml" in route.mend
    peers = the(findings, "peers")
    assert f"does not send to the Alertmanager at {url}" in peers.problem
    assert config.alertmanager.url in peers.mend


async def test_an_alertmanager_with_another_token(config: GraceConfig, started: Started, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("grace_" + "y" * 43)
    hook = {
        "url": f"{config.remediator_url}/api/v1/alerts",
        "http_config": {"authorization": {"credentials_file": str(tmp_path / "token")}},
    }
    written = {
        "route": {"receiver": "grace", "group_wait": "1s", "group_interval": "1s"},
        "receivers": [{"name": "grace", "webhook_configs": [hook]}],
    }
    url = started("alertmanager", written)
    finding = the(await examined(changed(config, alertmanager={"url": url}), sends=True), TEST_ALERT)
    assert "did not come to the remediator within 11 s" in finding.problem
    assert hook["url"] in finding.mend
    assert str(config.data_dir / "tokens" / "alertmanager") in finding.mend


async def test_alertmanagers_that_do_not_know_each_other(config: GraceConfig, started: Started) -> None:
    other = started("alertmanager", {"route": {"receiver": "people"}, "receivers": [{"name": "people"}]})
    hosts = [config.alertmanager.url.partition("//")[2], other.partition("//")[2]]
    url = started("prometheus", {"alerting": {"alertmanagers": [{"static_configs": [{"targets": hosts}]}]}})
    findings: list[Finding] = []
    for _ in range(100):
        findings = [each for each in await examined(changed(config, prometheus={"url": url})) if each.check == "peers"]
        if findings:
            break
        await asyncio.sleep(0.2)  # until Prometheus has found them
    assert [each.mend for each in findings] == [
        "start each with --cluster.peer=HOST:9094 of another",
        "start each with --cluster.peer=HOST:9094 of another",
        "give all the same file, and reload them",
    ]


async def test_a_target_that_does_not_answer(config: GraceConfig, tmp_path: Path) -> None:
    inventory = load_inventory(config.inventory)
    edge = inventory.targets["edge"]
    gone = edge.model_copy(update={"config": {**edge.config, "socket": str(tmp_path / "haproxy.sock")}})
    broken = inventory.model_copy(update={"targets": {**inventory.targets, "edge": gone}})
    (finding,) = await examined(config, inventory=broken)
    assert finding.check == "targets"
    assert finding.problem.startswith("target edge: HAProxy at")
    assert finding.mend == "start it, or correct targets.edge in inventory.yml"


async def test_a_driver_without_its_package(config: GraceConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = table.Extra("a_module_that_is_nowhere", ("a-package>=1",))
    monkeypatch.setitem(table.EXTRAS, "haproxy", lacking)  # type: ignore[index, arg-type]
    finding = the(await examined(config), "drivers")
    assert finding.problem == "the driver haproxy needs a Python package that is not installed"
    assert finding.mend == f"{sys.executable} -m pip install 'a-package>=1'"
