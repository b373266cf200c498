"""What is examined, and what is found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp

from catalog.config import GraceConfig, PeerCredentials
from catalog.inventory import Inventory
from catalog.model import Catalog
from remediator.clock import Clock
from remediator.credentials import Credentials
from remediator.peer import Peer

TIMEOUT = 5.0
"""Seconds that a service may take to answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not right, and what to do about it. Without a problem: the check passed."""

    check: str
    problem: str = ""
    mend: str = ""
    is_warning: bool = False
    """Worth knowing, and nothing wrong: it is shown, and changes no exit code."""
    note: str = ""
    """What a check that passed has to tell; shown when everything is listed."""

    @property
    def is_wrong(self) -> bool:
        return bool(self.problem) and not self.is_warning

    def as_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Setup:
    """What is examined: the configuration, what it names, and clients for the three services."""

    config: GraceConfig
    catalog: Catalog
    inventory: Inventory
    clock: Clock
    http: aiohttp.ClientSession

    @property
    def prometheus(self) -> Peer:
        return self.peer("Prometheus", self.config.prometheus.url, self.config.prometheus)

    @property
    def alertmanager(self) -> Peer:
        return self.peer("Alertmanager", self.config.alertmanager.url, self.config.alertmanager)

    @property
    def remediator(self) -> Peer:
        token = PeerCredentials(bearer_token_file=self.config.data_dir / "tokens" / "admin")
        return self.peer("the remediator", self.config.remediator_url, token)

    def peer(self, name: str, url: str, shown: PeerCredentials) -> Peer:
        """A client for one more service, which is shown these credentials."""
        credentials = Credentials(shown.bearer_token_file, shown.username, shown.password_file)
        return Peer(name, self.http, url, TIMEOUT, credentials)

    async def query(self, promql: str) -> list[dict[str, Any]]:
        """The samples of an instant vector. Raises GraceError."""
        answer = await self.prometheus.ask("POST", "/api/v1/query", form={"query": promql})
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


Check = Callable[[Setup], AsyncIterator[Finding]]
"""Yields what is wrong, nothing where all is right. May raise GraceError where a service cannot be asked."""


def wrong(problem: str, mend: str) -> Finding:
    """A finding of the check that yields it."""
    return Finding("", problem, mend)
