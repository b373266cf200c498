"""`docker-compose.yml`, as compose itself understands it: every way of starting it is valid, hardened and pinned."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import rules.prometheus
from catalog.load import load_catalog, load_config, load_inventory, load_policy
from catalog.model import TimeScale
from exporter.config import load
from remediator.drivers import check_inventory

ROOT = Path(__file__).parents[3]
COMPOSE = Path(sys.executable).parent / "docker-compose"
PROFILES = ("demo", "ha", "docker-driver")
WAYS = [
    (),
    ("--env-file", ".env.example"),
    ("--env-file", "deploy/demo.env"),
    ("--env-file", "deploy/ha.env"),
    *(
        tuple(itertools.chain.from_iterable(("--profile", each) for each in some))
        for count in (1, 2, 3)
        for some in itertools.combinations(PROFILES, count)
    ),
]
CORE = {"setup", "enroll", "exporter", "remediator", "prometheus", "alertmanager", "grafana"}


def config(*options: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("GRACE_", "COMPOSE_", "DOCKER_"))}
    done = subprocess.run(
        [COMPOSE, *options, "config", "--format", "json"], cwd=ROOT, env={**clean, **(environment or {})},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("options", WAYS, ids=" ".join)
def test_every_way_of_starting_it_is_valid(options: Sequence[str]) -> None:
    assert set(config(*options)["services"]) >= CORE


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = config("--profile", "*")["services"]
    return found


def test_every_container_is_hardened(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["mem_limit"]) > 0, name
        assert int(service["pids_limit"]) > 0, name
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), name
        assert not service.get("privileged"), name
        assert "healthcheck" in service or name in {"remediator", "remediator-2", "exporter"}, name


def test_every_image_has_a_version(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        tag = service["image"].rpartition(":")[2]
        assert re.search(r"\d+\.\d+", tag), (name, service["image"])
    assert re.search(r"^ARG PYTHON_IMAGE=\S+:\d+\.\d+\.\d+", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_ports_are_published_on_the_loopback_only(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert len(ports) == 5
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_no_secret_is_in_the_environment(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for key in service.get("environment", {}):
            assert not re.search(r"PASSWORD|TOKEN|SECRET", key) or key.endswith("FILE"), (name, key)


def test_only_the_proxy_has_the_socket(services: dict[str, dict[str, Any]]) -> None:
    holders = {
        name
        for name, service in services.items()
        for volume in service.get("volumes", ())
        if volume["source"].endswith("docker.sock")
    }
    assert holders == {"docker-proxy"}
    assert set(services["docker-proxy"]["networks"]) == {"docker"}
    assert config("--profile", "*")["networks"]["docker"]["internal"] is True


def test_the_second_remediator_does_not_start_on_a_ledger_of_its_own() -> None:
    alone = config("--profile", "ha")["services"]
    assert "://" not in alone["remediator-2"]["environment"]["GRACE_LEDGER_URL"]
    both = config("--env-file", "deploy/ha.env")["services"]
    urls = {both[name]["environment"]["GRACE_LEDGER_URL"] for name in ("remediator", "remediator-2")}
    assert len(urls) == 1
    assert urls.pop().startswith("postgresql://")
    assert "postgres" in both["remediator"]["depends_on"]


def test_the_demo_is_in_the_drill_profile() -> None:
    found = config("--env-file", "deploy/demo.env")["services"]
    assert set(rules.prometheus.arguments(TimeScale(drill=True))) <= set(found["prometheus"]["command"])
    assert {found[name]["pid"] for name in ("remediator", "exporter")} == {"service:demo"}
    assert "--demo" in found["setup"]["command"]


def test_every_variable_is_explained() -> None:
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    explained = {
        name: text
        for path in (".env.example", "deploy/demo.env", "deploy/ha.env")
        for name, text in re.findall(r"^(\w+)=(.*)$", (ROOT / path).read_text(), re.MULTILINE)
    }
    assert used - set(explained) == set()
    assert set(explained) - used == {"COMPOSE_PROFILES"}


def test_the_shipped_configuration_is_one_that_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRACE_LEDGER_URL", raising=False)
    path = ROOT / "deploy" / "grace" / "grace.yml"
    found = load_config(path)
    assert check_inventory(load_inventory(found.inventory), load_catalog(found.catalog)) == []
    assert str(load_policy(found.governance).ceiling) == "tier_2"
    assert {collector.name for collector in load(path).exporter.collectors} == {"machine", "remediator"}
    names = {alias for service in config("--profile", "*")["services"].values() for network in
             service.get("networks", {}).values() for alias in (network or {}).get("aliases", ())}  # fmt: skip
    assert {name for name in names if name.startswith("remediator-")} <= set(found.hosts) | {"remediator"}


def test_what_setup_writes_is_what_alertmanager_and_prometheus_take(
    tmp_path: Path, promtool: Path, amtool: Path
) -> None:
    out, secrets, data = tmp_path / "out", tmp_path / "secrets", tmp_path / "data"
    command = [
        sys.executable, "-m", "stack.setup", f"--config={ROOT / 'deploy' / 'grace' / 'grace.yml'}", f"--out={out}",
        f"--secrets={secrets}", f"--data={data}", "--remediators=remediator-1:9782,remediator-2:9782", "--demo",
    ]  # fmt: skip
    first = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert first.stdout.endswith("5 secrets made\n")
    token = (secrets / "alertmanager" / "token").read_text()
    assert (data / "tokens" / "alertmanager").read_text() == token
    assert (secrets / "alertmanager" / "token").stat().st_mode & 0o777 == 0o440
    assert (secrets / "ledger" / "pgpass").stat().st_mode & 0o777 == 0o600
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert again.stdout.endswith("0 secrets made\n")
    assert (secrets / "alertmanager" / "token").read_text() == token
    assert token not in first.stdout + first.stderr
    subprocess.run([promtool, "check", "config", out / "prometheus.yml"], check=True, capture_output=True)
    subprocess.run([amtool, "check-config", out / "alertmanager.yml"], check=True, capture_output=True)
    scraped = {
        job["job_name"]: job["static_configs"][0]["targets"]
        for job in yaml.safe_load((out / "prometheus.yml").read_text())["scrape_configs"]
    }
    assert scraped["grace-remediator"] == ["remediator-1:9782", "remediator-2:9782"]
    demo = data / "demo" / "config" / "grace.yml"
    assert load_config(demo).time_scale.drill
    assert load_policy(load_config(demo).governance).ceiling
    assert check_inventory(load_inventory(load_config(demo).inventory), load_catalog()) == []
    assert load(demo).exporter.collectors
    assert set(json.loads((data / "up.json").read_text())["urls"]) == {"prometheus", "alertmanager", "remediator"}


def test_a_faulty_configuration_is_told_in_one_go(tmp_path: Path) -> None:
    (tmp_path / "grace.yml").write_text("hosts: 5\ncolour: red\n")
    done = subprocess.run(
        [sys.executable, "-m", "stack.setup", f"--config={tmp_path / 'grace.yml'}", f"--out={tmp_path / 'out'}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "hosts" in done.stderr
    assert "colour" in done.stderr
    assert not (tmp_path / "out").exists()
