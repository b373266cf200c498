"""Everything that a run of the stack reads, written into its data folder before anything starts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import demo.workload
import rules.alertmanager
import rules.build
import rules.output
import rules.prometheus
from catalog.config import GraceConfig
from catalog.load import load_catalog, load_config
from catalog.model import Catalog, Tier, TimeScale
from catalog.policy import Policy
from stack.files import write_ours, yaml_text
from stack.ports import Ports
from stack.problem import Unusable

DRILL_FACTOR = 0.1
"""What cooldowns and expiries are multiplied by in the drill profile."""
DRILLS_A_DAY = 1000
"""Heals of one metric and resource in a day before the drill profile calls a person."""
_SPANS = ("cooldown", "attempt_cooldown", "approval_expiry", "safety_confirm_within", "release_after")


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for on the command line, settled: an absolute data folder, real ports."""

    data: Path
    ports: Ports
    agents: tuple[int, ...]
    scale: TimeScale
    with_demo: bool

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts that listen, for `ports`."""
        base = ("exporter", "remediator", "prometheus", "alertmanager")
        return (*base, "loadbalancer") if self.with_demo else base

    @property
    def urls(self) -> dict[str, str]:
        return {part: self.ports.url(part) for part in self.parts}

    @property
    def token(self) -> str:
        """The first admin's token file, as seen from here."""
        return os.path.relpath(self.data / "tokens" / "admin")

    @property
    def config(self) -> Path:
        return self.data / "grace.yml"

    @property
    def demo_ports(self) -> demo.workload.Ports:
        first, second, spare = self.agents
        return demo.workload.Ports(balancer=self.ports.loadbalancer, agents=(first, second, spare))


@dataclass(frozen=True, slots=True)
class Written:
    """What stands in the data folder now."""

    config: GraceConfig
    catalog: Catalog
    kept: tuple[str, ...]
    """Files that a person edited, which were left alone."""


def write(plan: Plan) -> Written:
    """Writes what is ours.

    Raises OSError, CatalogError (a person's file is faulty) or Unusable (it contradicts this run).
    """
    kept = [name for name, value in _people_files(plan).items() if not write_ours(plan.data / name, yaml_text(value))]
    config = load_config(plan.config)
    _check(plan, config)
    catalog = load_catalog(config.catalog)
    for name, text in _generated(plan, catalog).items():
        if not write_ours(plan.data / name, text):
            kept.append(name)
    files = rules.build.build(catalog, plan.scale, _receivers(plan))
    rules.output.write(plan.data / "rules", files)
    return Written(config, catalog, tuple(kept))


def governance(scale: TimeScale) -> dict[str, Any]:
    """What `governance.yml` says at this scale: the documented spans, shortened as time is; nothing at full scale."""
    factor = DRILL_FACTOR if scale.drill else scale.factor
    if factor == 1:
        return {}
    policy = Policy()
    shortened: dict[str, Any] = {name: _span(getattr(policy, name) * factor) for name in _SPANS}
    return {
        **shortened,
        "blast": {"within": _span(policy.blast.within * factor)},
        "storm": {"leave_after": _span(policy.storm.leave_after * factor)},
        # Where an hour is six minutes, the same budget for it is ten times as many an hour; and a drill heals the
        # same thing again and again on purpose, which anywhere else would be worth a person's look.
        "rates": {
            "per_target_hour": round(policy.rates.per_target_hour / factor),
            "all_hour": round(policy.rates.all_hour / factor),
        },
        # Whoever starts the drill profile lets one person approve what is tier_3: above the ceiling it would take two,
        # and one is there who drills.
        **({"repeat_heals": DRILLS_A_DAY, "ceiling": str(Tier.TIER_3)} if scale.drill else {}),
    }


def _people_files(plan: Plan) -> dict[str, dict[str, Any]]:
    files = {
        "grace.yml": _grace(plan),
        "inventory.yml": demo.workload.inventory(plan.data) if plan.with_demo else {"targets": {}},
        "exporter.yml": (
            demo.workload.exporter_collectors(plan.data, plan.ports.url("remediator"))
            if plan.with_demo
            else _this_machine(plan)
        ),
    }
    policy = governance(plan.scale)
    if policy or (plan.data / "governance.yml").exists():
        files["governance.yml"] = policy
    return files


def _grace(plan: Plan) -> dict[str, Any]:
    value: dict[str, Any] = {
        "data_dir": ".",
        "inventory": "inventory.yml",
        "exporter": "exporter.yml",
        "prometheus": {"url": plan.ports.url("prometheus")},
        "alertmanager": {"url": plan.ports.url("alertmanager")},
        "remediator_url": plan.ports.url("remediator"),
        "exporter_url": plan.ports.url("exporter"),
        "notify": [{"name": "people", "file": "notifications.log"}],
        "time_scale": plan.scale.model_dump(),
    }
    if governance(plan.scale):
        value["governance"] = "governance.yml"
        value["alertmanager"]["reconcile_every"] = "5s"
    return value


def _this_machine(plan: Plan) -> dict[str, Any]:
    """What is measured without the demo: this machine, and Grace itself."""
    status = f"{plan.ports.url('remediator')}/api/v1/status"
    return {
        "collectors": [
            {
                "name": "machine",
                "collector": "psutil",
                "metric_ids": ["infra.cpu_utilization", "infra.memory_utilization", "infra.disk_usage"],
                "volumes": [{"resource": "data", "path": str(plan.data)}],
            },
            {
                "name": "remediator",
                "collector": "remediator",
                "url": status,
                "resource": "grace",
                "metric_ids": ["autonomy.plan_success_rate", "autonomy.approvals_pending", "autonomy.rollback_rate"],
            },
        ]
    }


def _generated(plan: Plan, catalog: Catalog) -> dict[str, str]:
    ports = plan.ports
    return {
        "prometheus.yml": rules.prometheus.config(
            catalog,
            plan.scale,
            exporter=ports.address("exporter"),
            remediator=ports.address("remediator"),
            alertmanager=ports.address("alertmanager"),
            prometheus=ports.address("prometheus"),
        ),
        "alertmanager.yml": rules.alertmanager.config(catalog, plan.scale, _receivers(plan)),
    }


def _receivers(plan: Plan) -> rules.alertmanager.Receivers:
    return rules.alertmanager.Receivers(
        remediator_url=plan.ports.url("remediator"),
        credentials_file=str(plan.data / "tokens" / "alertmanager"),
    )


def _check(plan: Plan, config: GraceConfig) -> None:
    """An edited grace.yml may say much, but not that this run's parts are elsewhere."""
    said = {
        "data_dir": (config.data_dir.resolve(), plan.data),
        "prometheus.url": (config.prometheus.url, plan.ports.url("prometheus")),
        "alertmanager.url": (config.alertmanager.url, plan.ports.url("alertmanager")),
        "remediator_url": (config.remediator_url, plan.ports.url("remediator")),
        "exporter_url": (config.exporter_url, plan.ports.url("exporter")),
        "time_scale": (config.time_scale, plan.scale),
    }
    for key, (theirs, ours) in said.items():
        if theirs != ours:
            raise Unusable(
                f"{plan.config} was edited and says {key}: {theirs}, but this run needs {ours}; "
                f"change it there, or give the matching options, or another --data"
            )


def _span(seconds: float) -> str:
    return f"{round(seconds, 3):g}s"
