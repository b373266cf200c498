"""A URL that answers JSON: asked with what proves who we are, read up to a bound, never followed elsewhere."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from catalog.document import Where
from exporter.collectors.base import CollectError, secret

PARSED_AT_ONCE = 64 * 1024
"""Bytes up to which a document is parsed in between; a larger one is parsed in a thread."""


class JsonEndpoint:
    """One URL. `token_file`, or `username` with `password_file`, are read again for every request."""

    def __init__(
        self,
        url: str,
        *,
        most_bytes: int,
        token_file: Path | None = None,
        username: str = "",
        password_file: Path | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self._url = url
        # What stands in a query may be a key: it is asked with, and never told.
        self._told = url.partition("#")[0].partition("?")[0]
        self._most = most_bytes
        self._token_file = token_file
        self._username = username
        self._password_file = password_file
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close what connections there are."""
        if self._session is not None:
            await self._session.close()

    async def get(self) -> Any:
        """The document. Raises CollectError; its text holds no secret."""
        body = await self._body(await asyncio.to_thread(self._headers))
        if len(body) > self._most:
            raise CollectError(f"{self._told} answered more than {self._most // 1024} KiB")
        try:
            return json.loads(body) if len(body) <= PARSED_AT_ONCE else await asyncio.to_thread(json.loads, body)
        except (ValueError, RecursionError) as error:
            raise CollectError(f"{self._told} did not answer JSON") from error

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        body = bytearray()
        try:
            if self._session is None:
                self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=await self._trust()))
            async with self._session.get(self._url, headers=headers, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise CollectError(f"{self._told} answered {answer.status}")
                async for chunk in answer.content.iter_any():
                    body += chunk
                    if len(body) > self._most:
                        break
        except aiohttp.ClientError as error:
            raise CollectError(f"{self._told} cannot be reached ({type(error).__name__})") from error
        return bytes(body)

    async def _trust(self) -> ssl.SSLContext | bool:
        if self._ca_file is None:
            return True
        try:
            return await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
        except OSError as error:
            raise CollectError(f"the CA file {self._ca_file} cannot be used ({type(error).__name__})") from error

    def _headers(self) -> Mapping[str, str]:
        if self._token_file is not None:
            return {"Authorization": f"Bearer {secret(self._token_file, 'token')}"}
        if self._password_file is not None:
            said = f"{self._username}:{secret(self._password_file, 'password')}"
            return {"Authorization": f"Basic {base64.b64encode(said.encode()).decode()}"}
        return {}


def url_faults(url: str) -> Iterator[tuple[Where, str]]:
    """What is wrong with an endpoint's URL."""
    try:
        parts = urlsplit(url)
        open_secret = parts.username is not None or parts.password is not None
        # Where a password holds / or # unescaped, a part of it stands in the port's place.
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        yield ("url",), "this is not a URL"
        return
    if not is_one:
        yield ("url",), "an http:// or https:// URL is expected"
    elif open_secret:
        yield ("url",), "a password does not belong into a URL: use username and password_file"
