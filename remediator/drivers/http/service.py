"""Speaks to one control endpoint. What is not clearly a success is an error, which says whether to send it again."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from remediator.credentials import Credentials
from remediator.drivers.http.pointer import resolve
from remediator.drivers.http.settings import HttpConfig, Read, Write
from remediator.drivers.http.template import filled_body, filled_path
from remediator.errors import GraceError, Permanent, Refused, Transient

ANSWER_LIMIT = 4 * 1024 * 1024
_DENIED = (401, 403, 407)
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 60.0


class Unsure(Permanent):
    """It may have had its effect, and sending it again may have it twice: look."""


class Service:
    """One service. `key` tells it which step asks (Idempotency-Key), the same at every attempt."""

    def __init__(self, http: aiohttp.ClientSession, config: HttpConfig, timeout: float, key: str) -> None:
        self._http = http
        self._config = config
        self._timeout = timeout
        self._key = key
        self._credentials = Credentials(config.token_file, config.username, config.password_file)

    async def read(self, read: Read) -> Any:
        """What stands at the pointer. Raises Permanent where the answer is no JSON or nothing stands there."""
        status, answer, headers = await self._exchange("GET", read.path, None, may_repeat=True)
        if status != 200:
            raise self._failure("GET", status, headers, may_repeat=True)
        try:
            document = json.loads(answer, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise Permanent(f"{self._config.url} did not answer {read.path} with JSON") from error
        try:
            return resolve(document, read.pointer)
        except KeyError as error:
            raise Permanent(f"{self._config.url} answered {read.path} without anything at {read.pointer!r}") from error

    async def write(self, write: Write, value: float | None = None) -> bytes:
        """Send it, the number in its place, and give the answer's body. Raises Unsure where the outcome is unknown."""
        path, body = filled_path(write.path, value), filled_body(write.body, value)
        status, answer, headers = await self._exchange(write.method, path, body, may_repeat=write.is_idempotent)
        if status not in write.expect:
            raise self._failure(write.method, status, headers, may_repeat=write.is_idempotent)
        return answer

    async def _exchange(
        self, method: str, path: str, body: Any, *, may_repeat: bool
    ) -> tuple[int, bytes, Mapping[str, str]]:
        headers = {"Accept": "application/json, */*;q=0.5", **self._credentials.headers()}
        if method != "GET":
            headers["Idempotency-Key"] = self._key
        try:
            async with self._http.request(
                method,
                URL(self._config.url + path, encoded=True),
                json=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                allow_redirects=False,
                ssl=self._trust(),
            ) as response:
                answer = b""
                while part := await response.content.read(65536):
                    answer += part
                    if len(answer) > ANSWER_LIMIT:
                        raise Permanent(f"{self._config.url} answered {path} with more than {ANSWER_LIMIT} bytes")
                return response.status, answer, response.headers
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise Permanent(
                f"{self._config.url} is not to be trusted ({type(error).__name__}): see `ca_file`"
            ) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # Nothing was sent yet, so that this is harmless for every method.
            raise Transient(f"{self._config.url} cannot be reached: {type(error).__name__}") from error
        except TimeoutError as error:
            said = f"{self._config.url} did not answer {method} {path} within {self._timeout:g} s"
            raise _unknown(said, may_repeat) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unknown(
                f"{self._config.url} broke off {method} {path}: {type(error).__name__}", may_repeat
            ) from error

    def _failure(self, method: str, status: int, headers: Mapping[str, str], *, may_repeat: bool) -> GraceError:
        """Without the answer's body, which may hold anything."""
        said = f"{self._config.url} answered {method} with status {status}"
        if status in _DENIED:
            return Refused(f"{said}: it does not accept these credentials for that", reason="permission")
        if 300 <= status < 400:
            return Permanent(f"{said}, a redirect: write where it really is into the inventory")
        # Too many requests: it was not even looked at.
        if status == 429 or (status in _PASSING and may_repeat):
            return Transient(said, retry_after=_seconds(headers.get("Retry-After", "")))
        return _unknown(said, may_repeat) if status >= 500 else Permanent(said)

    def _trust(self) -> ssl.SSLContext | bool:
        if self._config.ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=str(self._config.ca_file))
        except OSError as error:
            raise Permanent(f"the certificates in {self._config.ca_file} cannot be read") from error


def _unknown(said: str, may_repeat: bool) -> GraceError:
    if may_repeat:
        return Transient(said)
    return Unsure(f"{said}; whether it took effect is unknown, and it is not sent again")


def _seconds(text: str) -> float | None:
    return min(float(text), _LONGEST_WAIT) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")
