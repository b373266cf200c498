"""One HTTP service that Grace asks for JSON: Prometheus or Alertmanager. Its failures become Grace's errors here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from remediator.credentials import Credentials
from remediator.errors import GraceError, Permanent, Transient

MAX_ANSWER = 64 * 1024 * 1024
"""Bytes of the largest answer that is read."""
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class Peer:
    """Asks one service. `name` is what messages call it; `url` may carry a path prefix; `timeout` is in seconds."""

    def __init__(
        self, name: str, session: aiohttp.ClientSession, url: str, timeout: float, credentials: Credentials
    ) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._credentials = credentials

    async def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        document: object = None,
    ) -> Any:
        """The JSON it answers a 2xx with (None for an empty body).

        Raises Transient when it is away, slow or overloaded, Permanent when it refuses or does not speak JSON.
        """
        try:
            async with self._session.request(
                method,
                self.url + path,
                params=params,
                data=form,
                json=document,
                headers=self._credentials.headers(),
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                body = await response.content.read(MAX_ANSWER + 1)
                while len(body) <= MAX_ANSWER and (more := await response.content.read(MAX_ANSWER)):
                    body += more
                status, location = response.status, response.headers.get("Location", "")
        except TimeoutError as error:
            raise Transient(f"{self.name} did not answer within {self._timeout.total:g} s") from error
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError) as error:
            raise Permanent(f"the url of {self.name} is not one") from error
        except (aiohttp.ClientError, asyncio.IncompleteReadError, OSError) as error:
            raise Transient(f"{self.name} cannot be reached: {type(error).__name__}") from error
        if len(body) > MAX_ANSWER:
            raise Permanent(f"{self.name} answered more than {MAX_ANSWER // 2**20} MiB; ask for less")
        if 300 <= status < 400:
            raise Permanent(f"{self.name} redirects to {location[:200]!r}: set its url to where it really is")
        if status >= 400:
            raise self._failure(status, body)
        return self._decoded(body)

    def _decoded(self, body: bytes) -> Any:
        if not body.strip():
            return None
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Permanent(f"{self.name} did not answer with JSON: is its url right?") from error

    def _failure(self, status: int, body: bytes) -> GraceError:
        detail = _reason(body)
        message = f"{self.name} answered {status}" + (f": {detail}" if detail else "")
        return Transient(message) if status in _AGAIN else Permanent(message)


def _reason(body: bytes) -> str:
    """What an error answer says, one short line: Prometheus puts it in `error`, Alertmanager answers with a string."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if isinstance(document, dict):
        document = document.get("error") or document.get("message")
    return " ".join(document.split())[:300] if isinstance(document, str) else ""
