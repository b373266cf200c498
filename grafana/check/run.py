"""The whole check: files in, findings out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from grafana.check import shape
from grafana.check.document import Dashboard, NotADashboard, read
from grafana.check.finding import Finding, Rule
from grafana.check.live import Asker, Knowledge, queries
from grafana.check.live import read as read_query
from grafana.check.prometheus import Prometheus


@dataclass(frozen=True)
class Report:
    """What was checked and found. `asked` counts the queries that Prometheus answered."""

    dashboards: tuple[Dashboard, ...]
    queries: int
    asked: int
    findings: tuple[Finding, ...]


def dashboards(paths: Sequence[Path]) -> tuple[Dashboard, ...]:
    """The dashboards in files, and in the `*.json` of folders, by name. Raises NotADashboard."""
    files: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("**/*.json")) if path.is_dir() else [path]
        if not inside:
            raise NotADashboard(f"{path}: there is no *.json in this folder")
        files += inside
    return tuple(read(file) for file in dict.fromkeys(files))


async def check(
    read_dashboards: Sequence[Dashboard],
    *,
    now: float,
    prometheus: str = "",
    token: str = "",
    since: float | None = None,
    ignored: Collection[Rule] = (),
) -> Report:
    """Everything that is wrong with the dashboards; with a Prometheus URL also what it answers.

    `now` is Unix time; `since` looks back so many seconds instead of the dashboards' own times; findings of rules that
    are `ignored` are left out. Raises Unreachable when Prometheus does not answer.
    """
    found = list(shape.among(read_dashboards))
    asked, written, knowledge = 0, 0, Knowledge()
    async with aiohttp.ClientSession() as http:
        asker = Asker(Prometheus(http, prometheus, token), now, since) if prometheus else None
        if asker is not None:
            knowledge = await asker.knowledge()
        for dashboard in read_dashboards:
            found += shape.findings(dashboard)
            own = list(queries(dashboard))
            written += len(own)
            wrong = [(query, list(read_query(dashboard, query, knowledge))) for query in own]
            found += [finding for _, findings in wrong for finding in findings]
            if asker is not None:
                sound = [query for query, each in wrong if all(one.rule is not Rule.QUERY_INVALID for one in each)]
                asked += len(sound)
                found += await asker.findings(dashboard, sound)
    kept = sorted({finding for finding in found if finding.rule not in ignored})
    return Report(tuple(read_dashboards), written, asked, tuple(kept))
