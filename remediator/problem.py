"""Errors of the HTTP API, as RFC 9457 problem documents."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web


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
