"""Every address of the page, and where its parts are put together."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from remediator.api.services import Services
from remediator.auth.requests import open_to_all
from remediator.auth.throttle import Throttle
from remediator.page.keys import PAGE, Page
from remediator.page.session import Sessions

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
STATIC = Path(__file__).parent / "static"
FILES = {"page.css": "text/css", "page.js": "text/javascript", "mark.svg": "image/svg+xml"}

ROUTES: tuple[tuple[str, str, str], ...] = (
    ("GET", "/", "pages.now"),
    ("GET", "/incidents", "pages.incident_list"),
    ("GET", "/incidents/{id}", "pages.incident"),
    ("GET", "/approvals", "pages.approval_list"),
    ("GET", "/approvals/{id}", "pages.approval"),
    ("GET", "/playbooks", "pages.playbooks"),
    ("GET", "/governance", "pages.governance"),
    ("GET", "/audit", "pages.audit"),
    ("GET", "/stream", "pages.stream"),
    ("GET", "/sign-in", "forms.sign_in"),
    ("POST", "/sign-in", "forms.signed_in"),
    ("POST", "/sign-out", "forms.sign_out"),
    ("POST", "/approvals/{id}/approve", "forms.approve"),
    ("POST", "/approvals/{id}/reject", "forms.reject"),
    ("POST", "/incidents/{id}/ack", "forms.acknowledge"),
    ("POST", "/incidents/{id}/close", "forms.close"),
    ("POST", "/runs/{id}/cancel", "forms.cancel"),
    ("POST", "/runs/{id}/undo", "forms.undo"),
    ("POST", "/runs/{id}/release", "forms.release"),
    ("POST", "/governance", "forms.change_governance"),
    ("POST", "/holds", "forms.hold"),
    ("POST", "/holds/end", "forms.unhold"),
    ("POST", "/audit/verify", "forms.verify"),
)


def add_page(application: web.Application, services: Services, verify: Callable[[], Awaitable[list[str]]]) -> None:
    """Put the page beside the API. Raises OSError where the secret of its sessions can be neither read nor made."""
    config, clock = services.parts.config, services.parts.clock
    application[PAGE] = Page(services, Sessions(config.session_secret, clock), Throttle(clock), verify)
    for method, path, handler in ROUTES:
        application.router.add_route(method, path, _late(handler))
    for name, content_type in FILES.items():
        application.router.add_get(f"/static/{name}", _file(STATIC / name, content_type))


def _late(name: str) -> Handler:
    """The handler of this name, imported when somebody opens the page: until then its memory is saved."""
    module, function = name.split(".")

    @open_to_all
    async def handler(request: web.Request) -> web.StreamResponse:
        found: Handler = getattr(importlib.import_module(f"remediator.page.{module}"), function)
        return await found(request)

    return handler


def _file(path: Path, content_type: str) -> Handler:
    body = path.read_bytes()

    @open_to_all
    async def answer(_: web.Request) -> web.StreamResponse:
        headers = {"Cache-Control": "max-age=300", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=body, content_type=content_type, headers=headers)

    return answer
