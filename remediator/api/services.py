"""What answers to requests work with: the parts of a running remediator that the API and the page share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from remediator.api.status import Status
from remediator.api.stream import Stream
from remediator.ledger.intake import Intake
from remediator.ledger.tokens import LedgerTokens
from remediator.pipeline.parts import Parts


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers work with."""

    parts: Parts
    intake: Intake
    tokens: LedgerTokens
    stream: Stream
    status: Status
    counted: Callable[[str, int], None]
    """Count something for `/metrics`: name, by how many."""


SERVICES = web.AppKey("services", Services)
