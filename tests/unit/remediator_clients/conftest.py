"""A server that answers what a test tells it, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class Answering:
    """Set `status`, `body`, `headers`; `silent` never answers, `cut` closes the connection."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    cut: bool = False
    asked: list[tuple[str, str, dict[str, str], dict[str, str]]] = field(default_factory=list)
    """Method, path, query or form, headers."""
    documents: list[object] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        form = dict(request.query)
        if request.content_type == "application/json":
            self.documents.append(await request.json())
        elif request.method == "POST":
            form |= {key: str(value) for key, value in (await request.post()).items()}
        self.asked.append((request.method, request.path, form, dict(request.headers)))
        if self.silent:
            await asyncio.Event().wait()
        if self.cut:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@pytest.fixture
async def answering() -> AsyncIterator[Answering]:
    answers = Answering()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answers.answer)
    async with TestServer(app) as server:
        answers.url = str(server.make_url("/"))
        yield answers


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened
