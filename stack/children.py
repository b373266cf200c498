"""The children of a run: the demo's processes, the exporter, the remediator, Prometheus and Alertmanager."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import demo.workload
import rules.prometheus
from catalog.model import TimeScale
from stack.child import Child
from stack.configure import Plan
from stack.ports import HOST
from stack.tools import Tool

MOST_STOP_SECONDS = 4.0
"""No child is waited for longer, so that a chain of them ends within the stop's deadline."""


def children(plan: Plan, tools: Mapping[str, Tool]) -> list[Child]:
    """Every child of the run, gates and order included.

    The remediator is ready (its tokens are written) before Alertmanager starts; what is scraped is there before
    Prometheus is; the exporter comes after the workload it measures.
    """
    parts = workload(plan.data, tools["haproxy"].path, plan.demo_ports, plan.scale) if plan.with_demo else []
    return [
        *parts,
        _grace(plan, "remediator"),
        _grace(plan, "exporter", after=tuple(child.name for child in parts if _has_gate(child))),
        _alertmanager(plan, tools["alertmanager"]),
        _prometheus(plan, tools["prometheus"]),
    ]


def workload(data: Path, haproxy: Path, ports: demo.workload.Ports, scale: TimeScale) -> list[Child]:
    """The demo's processes alone, for a data folder that `demo.workload.prepare` was called for."""
    return [
        Child(
            name=process.name,
            argv=process.argv,
            env=process.env,
            cwd=process.cwd,
            ready_url=process.ready_url,
            ready_socket=process.ready_socket,
            ready_file=process.ready_file,
            after=process.after,
            stop_signal=process.stop_signal,
            stop_timeout=min(process.stop_timeout, MOST_STOP_SECONDS),
        )
        for process in demo.workload.processes(data, haproxy, ports, scale)
    ]


def _has_gate(child: Child) -> bool:
    return bool(child.ready_url or child.ready_socket or child.ready_file)


def _grace(plan: Plan, part: str, after: tuple[str, ...] = ()) -> Child:
    """`-P`: the data folder, where it runs, holds folders called `demo` and `rules` that are not to be imported."""
    options = (f"--config={plan.config}", f"--web.listen-address={plan.ports.address(part)}")
    return Child(
        name=part,
        argv=(sys.executable, "-P", "-m", "grace", part, *options),
        env={"PYTHONUNBUFFERED": "1"},
        cwd=plan.data,
        ready_url=f"{plan.ports.url(part)}/-/ready",
        after=after,
    )


def _alertmanager(plan: Plan, tool: Tool) -> Child:
    return Child(
        name="alertmanager",
        argv=(
            str(tool.path),
            f"--config.file={plan.data / 'alertmanager.yml'}",
            f"--storage.path={plan.data / 'alertmanager'}",
            f"--web.listen-address={HOST}:{plan.ports.alertmanager}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ),
        cwd=plan.data,
        ready_url=f"{plan.ports.url('alertmanager')}/-/ready",
        after=("remediator",),
    )


def _prometheus(plan: Plan, tool: Tool) -> Child:
    return Child(
        name="prometheus",
        argv=(
            str(tool.path),
            f"--config.file={plan.data / 'prometheus.yml'}",
            f"--storage.tsdb.path={plan.data / 'prometheus'}",
            "--storage.tsdb.retention.time=15d",
            "--storage.tsdb.retention.size=2GB",
            f"--web.listen-address={HOST}:{plan.ports.prometheus}",
            "--log.level=warn",
            *rules.prometheus.arguments(plan.scale),
        ),
        cwd=plan.data,
        ready_url=f"{plan.ports.url('prometheus')}/-/ready",
        after=("exporter", "remediator"),
    )
