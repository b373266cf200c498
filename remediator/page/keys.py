"""What pages find at the application and at each request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from remediator.api.services import Services
from remediator.auth.throttle import Throttle
from remediator.page.session import Sessions, Visitor


@dataclass(frozen=True, slots=True)
class Page:
    """What pages work with."""

    services: Services
    sessions: Sessions
    throttle: Throttle
    verify: Callable[[], Awaitable[list[str]]]
    """Verify the whole audit log: what is wrong with it, nothing where it is whole."""


PAGE = web.AppKey("page", Page)
VISITOR = web.RequestKey("visitor", Visitor)
