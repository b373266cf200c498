"""The Prometheus configuration with which `grace up` runs, and that a team can take as an example."""

from __future__ import annotations

from collections.abc import Sequence

from catalog.model import Catalog, TimeScale
from rules.compile import header
from rules.meta import EXPORTER_JOB, REMEDIATOR_JOB
from rules.promql import duration
from rules.yamltext import Value, dump


def config(
    catalog: Catalog,
    scale: TimeScale,
    exporter: str | Sequence[str] = "127.0.0.1:9781",
    remediator: str | Sequence[str] = "127.0.0.1:9782",
    alertmanager: str | Sequence[str] = "127.0.0.1:9793",
    rule_files: Sequence[str] = ("rules/*.yml",),
    *,
    prometheus: str = "127.0.0.1:9790",
) -> str:
    """The text of a `prometheus.yml`. The four parts are `host:port`, or several; `rule_files` are paths or globs.

    Prometheus scrapes itself too: whether rules fail is one of its own metrics.
    """
    scrape = duration(scale.scrape_interval())
    jobs: list[Value] = [
        {"job_name": job, "static_configs": [{"targets": _several(targets)}]}
        for job, targets in ((EXPORTER_JOB, exporter), (REMEDIATOR_JOB, remediator), ("prometheus", prometheus))
    ]
    value: Value = {
        "global": {
            "scrape_interval": scrape,
            "scrape_timeout": duration(min(10.0, scale.scrape_interval())),
            "evaluation_interval": scrape,
        },
        "rule_files": list(rule_files),
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": _several(alertmanager)}]}]},
        "scrape_configs": jobs,
    }
    return dump(value, header(catalog))


def _several(addresses: str | Sequence[str]) -> list[Value]:
    return [addresses] if isinstance(addresses, str) else list(addresses)


def lookback(scale: TimeScale) -> float:
    """Seconds for `--query.lookback-delta`: scaled as the intervals are, so that a stopped source does not linger."""
    return max(300.0 * (0.1 if scale.drill else scale.factor), 3 * scale.scrape_interval())


def arguments(scale: TimeScale) -> tuple[str, ...]:
    """Flags that Prometheus needs beside its configuration at this scale; none at full scale."""
    if not scale.drill and scale.factor == 1:
        return ()
    return (f"--query.lookback-delta={duration(lookback(scale))}", "--rules.alert.resend-delay=5s")
