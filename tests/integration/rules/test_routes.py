"""Who is told what: by amtool for every alert there is, and by a real Alertmanager where inhibition plays in."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web

from catalog.load import load_catalog
from catalog.model import Catalog, TimeScale
from rules.alertmanager import Receivers, config, fragment
from rules.compile import compile_rules

DRILL = TimeScale(drill=True)


def every_alert(catalog: Catalog) -> Iterator[dict[str, str]]:
    """The labels of every alert that the generated rules can raise, as Alertmanager gets them."""
    for text in compile_rules(catalog).values():
        for group in yaml.safe_load(text)["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    yield {"alertname": rule["alert"], "resource": "api-1", **rule["labels"]}


def destinations(labels: dict[str, str]) -> str:
    if labels["alertname"] == "GraceHandling":
        return "nobody"
    if labels["alertname"] == "GraceMetricStale":
        return "grace,people"
    return "grace,nobody" if labels.get("grace") == "true" else "people"


def test_amtool_agrees_about_every_alert(amtool: Path, shipped: Catalog, tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(config(shipped, TimeScale()))
    alerts = list(every_alert(shipped))
    assert len(alerts) == 5 * len(shipped.enabled) + 9
    strangers = [{"alertname": "HostDown", "severity": "critical"}, {"alertname": "GraceHandlingX", "grace": "yes"}]
    for labels in [*alerts, *strangers]:
        command = [amtool, "config", "routes", "test", f"--config.file={file}"]
        done = subprocess.run([*command, *(f"{k}={v}" for k, v in labels.items())], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == destinations(labels), labels


def with_fragment(catalog: Catalog, folder: Path) -> Path:
    """A team's configuration that Grace's fragment was added to."""
    ours = yaml.safe_load(fragment(catalog, TimeScale()))
    pager = {"receiver": "pager", "matchers": ['severity="critical"']}
    theirs = {
        "route": {"receiver": "team", "routes": [*ours["routes"], pager, {"receiver": "team"}]},
        "receivers": [{"name": "team"}, {"name": "pager"}, *ours["receivers"]],
        "inhibit_rules": ours["inhibit_rules"],
    }
    file = folder / "alertmanager.yml"
    file.write_text(yaml.safe_dump(theirs))
    return file


def test_the_fragment_completes_a_configuration_that_exists(amtool: Path, shipped: Catalog, tmp_path: Path) -> None:
    done = subprocess.run([amtool, "check-config", with_fragment(shipped, tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


BINDINGS = """
bindings:
  - {matchers: 'alertname="HostDown", env=~"prod|stage"', target: hosts, playbooks: [restart-workers]}
  - {matchers: 'alertname="HostDown", env=~"prod|stage"', target: spare, playbooks: [restart-workers]}
  - {matchers: 'alertname=~"Disk.*", severity!="info"', target: hosts, playbooks: [cleanup-disk]}
"""


@pytest.mark.parametrize(
    ("labels", "to"),
    [
        ({"alertname": "HostDown", "env": "prod", "severity": "critical"}, "grace,pager"),
        ({"alertname": "HostDown", "env": "stage"}, "grace,team"),
        ({"alertname": "HostDown", "env": "test"}, "team"),
        ({"alertname": "DiskFull", "severity": "warning"}, "grace,team"),
        ({"alertname": "DiskFull", "severity": "info"}, "team"),
        ({"alertname": "InfraDiskUsage", "severity": "critical", "grace": "true"}, "grace,nobody"),
        ({"alertname": "DiskUsage", "severity": "critical", "grace": "true"}, "grace,nobody"),
    ],
)
def test_bound_alerts_reach_grace_and_whoever_heard_of_them_before(
    amtool: Path, tmp_path: Path, labels: dict[str, str], to: str
) -> None:
    (tmp_path / "team.yaml").write_text(BINDINGS)
    file = with_fragment(load_catalog([tmp_path / "team.yaml"]), tmp_path)
    command = [amtool, "config", "routes", "test", f"--config.file={file}"]
    done = subprocess.run([*command, *(f"{k}={v}" for k, v in labels.items())], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == to
    file.write_text(config(load_catalog([tmp_path / "team.yaml"]), TimeScale()))
    done = subprocess.run([*command, *(f"{k}={v}" for k, v in labels.items())], capture_output=True, text=True)
    assert done.stdout.strip() == to.replace("pager", "people").replace("team", "people")


@dataclass
class Mailboxes:
    """What arrived at each receiver: alertname, resource and status, with the token it came with."""

    got: dict[str, list[tuple[str, str, str]]] = field(default_factory=lambda: {"grace": [], "people": []})
    tokens: set[str] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        name = "people" if request.path == "/people" else "grace"
        if name == "grace":
            self.tokens.add(request.headers.get("Authorization", ""))
        for alert in (await request.json())["alerts"]:
            labels = alert["labels"]
            self.got[name].append((labels["alertname"], labels.get("resource", ""), alert["status"]))
        self.news.set()
        return web.Response(status=202)

    async def until(self, name: str, what: tuple[str, str, str], within: float) -> None:
        async with asyncio.timeout(within):
            while what not in self.got[name]:
                self.news.clear()
                await self.news.wait()


@pytest.fixture
async def alertmanager(
    alertmanager_binary: Path,
    free_port: Callable[[], int],
    tmp_path: Path,
    shipped: Catalog,
    running: Callable[..., Any],
) -> AsyncIterator[tuple[Mailboxes, Callable[..., Any]]]:
    mail = Mailboxes()
    app = web.Application()
    app.router.add_post("/{path:.*}", mail.take)
    runner = web.AppRunner(app)
    await runner.setup()
    receiver, port = free_port(), free_port()
    await web.TCPSite(runner, "127.0.0.1", receiver).start()
    (tmp_path / "token").write_text("s3cret")
    to = Receivers(f"http://127.0.0.1:{receiver}", f"{tmp_path}/token", f"http://127.0.0.1:{receiver}/people")
    (tmp_path / "alertmanager.yml").write_text(config(shipped, DRILL, to))
    url = f"http://127.0.0.1:{port}"
    command = (
        alertmanager_binary,
        f"--config.file={tmp_path}/alertmanager.yml",
        f"--storage.path={tmp_path}/am",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )
    async with aiohttp.ClientSession() as http, running(http, f"{url}/-/ready", *command):

        async def post(*alerts: dict[str, str], ends: str | None = None) -> None:
            body = [{"labels": labels, **({"endsAt": ends} if ends else {})} for labels in alerts]
            async with http.post(f"{url}/api/v2/alerts", json=body) as response:
                assert response.status == 200, await response.text()

        yield mail, post
    await runner.cleanup()


async def test_what_people_need_not_hear_still_reaches_grace(
    alertmanager: tuple[Mailboxes, Callable[..., Any]],
) -> None:
    """Inhibition mutes an alert everywhere, so people's alerts are others than Grace's, and only those are muted."""
    mail, post = alertmanager
    metric = {"metric_id": "infra.cpu_utilization", "category": "infra"}

    def raised(resource: str, severity: str) -> list[dict[str, str]]:
        each = {**metric, "resource": resource, "severity": severity}
        return [
            {"alertname": "InfraCpuUtilization", "grace": "true", **each},
            {"alertname": "GraceMetricOutOfBand", "audience": "people", **each},
        ]

    handling = {"alertname": "GraceHandling", "severity": "none", "category": "grace", "resource": "handled"}
    handling["metric_id"] = metric["metric_id"]
    stale = {"alertname": "GraceMetricStale", "grace": "true", "severity": "warning", "resource": "gone", **metric}
    down = {"alertname": "GraceRemediatorDown", "audience": "people", "category": "grace", "severity": "critical"}
    foreign = {"alertname": "HostDown", "severity": "warning", "resource": "handled", "metric_id": metric["metric_id"]}
    await post(*raised("handled", "critical"), *raised("left", "critical"), handling, stale, down, foreign)

    # Grace is told at once, whatever people are spared.
    for resource in ("handled", "left"):
        await mail.until("grace", ("InfraCpuUtilization", resource, "firing"), 10)
    await mail.until("grace", ("GraceMetricStale", "gone", "firing"), 10)
    assert mail.tokens == {"Bearer s3cret"}

    # People hear what Grace does not handle, and everything about Grace itself; another's alert is never muted.
    await mail.until("people", ("GraceMetricOutOfBand", "left", "firing"), 30)
    await mail.until("people", ("GraceMetricStale", "gone", "firing"), 20)
    await mail.until("people", ("GraceRemediatorDown", "", "firing"), 20)
    await mail.until("people", ("HostDown", "handled", "firing"), 20)
    assert ("GraceMetricOutOfBand", "handled", "firing") not in mail.got["people"]

    # Grace lets go of it unhealed: now people hear it.
    await post(handling, ends="2020-01-01T00:00:00Z")
    await mail.until("people", ("GraceMetricOutOfBand", "handled", "firing"), 60)

    assert {name for name, _, _ in mail.got["grace"]} == {"InfraCpuUtilization", "GraceMetricStale"}
    assert "GraceHandling" not in {name for name, _, _ in mail.got["people"]}
    assert "InfraCpuUtilization" not in {name for name, _, _ in mail.got["people"]}
