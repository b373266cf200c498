"""Errors of the HTTP API, as RFC 9457 problem documents."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

from remediator.errors import Refused

_STATUS = {"unknown": 404, "unknown_target": 404, "role": 403}


def problem(
    status: int, title: str, detail: str = "", *, type_: str = "about:blank", headers: Mapping[str, str] | None = None
) -> web.Response:
    """An `application/problem+json` answer with `type, title, status, detail`.

    `title` is the same for every problem of a kind; `detail` is for the person who asked and holds no secret.
    """
    return web.Response(
        status=status,
        body=json.dumps({"type": type_, "title": title, "status": status, "detail": detail}).encode(),
        content_type="application/problem+json",
        headers=headers,
    )


def status_of(refusal: Refused) -> int:
    """The HTTP status of a refusal: 404 and 403 for some reasons, 409 for every other."""
    return _STATUS.get(refusal.reason, 409)
