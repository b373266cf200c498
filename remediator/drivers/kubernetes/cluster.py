"""A cluster's API server: JSON in, JSON out, and its refusals as our errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from remediator.errors import GraceError, Permanent, Refused, Transient

_ANSWER_LIMIT = 16 * 1024 * 1024
_STATUS_LIMIT = 64 * 1024
_PAGE = 250
_MERGE = "application/merge-patch+json"

Json = Mapping[str, Any]


class Cluster:
    """One cluster as one account sees it. Every call is bounded by `timeout` seconds."""

    def __init__(self, kubeconfig: Path | None, context: str | None) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._client: Any = None
        self._retired: Any = None

    async def get(self, path: str, timeout: float) -> Json:
        return await self._ask("GET", path, timeout)

    async def put(self, path: str, body: Json, timeout: float) -> Json:
        return await self._ask("PUT", path, timeout, body=body)

    async def post(self, path: str, body: Json, timeout: float) -> Json:
        return await self._ask("POST", path, timeout, body=body)

    async def merge(self, path: str, body: Json, timeout: float) -> Json:
        """Change what `body` names and leave the rest (RFC 7396)."""
        return await self._ask("PATCH", path, timeout, body=body, content_type=_MERGE)

    async def items(self, path: str, timeout: float) -> list[Json]:
        """Every object of a list, page by page."""
        found: list[Json] = []
        query = [("limit", str(_PAGE))]
        while True:
            page = await self._ask("GET", path, timeout, query=query)
            items, meta = page.get("items"), page.get("metadata")
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise Permanent(f"the cluster answered {path} with something that is no list")
            found += items
            more = meta.get("continue") if isinstance(meta, dict) else None
            if not more:
                return found
            query = [("limit", str(_PAGE)), ("continue", str(more))]

    async def close(self) -> None:
        await self._retire()
        await self._retire()

    async def _retire(self) -> None:
        """Use this client no more; it is closed one retirement later, when nobody else is in the middle of a call."""
        last, self._retired, self._client = self._retired, self._client, None
        if last is not None:
            await last.close()

    async def _ask(
        self,
        method: str,
        path: str,
        timeout: float,
        *,
        body: Json | None = None,
        content_type: str = "application/json",
        query: list[tuple[str, str]] | None = None,
    ) -> Json:
        try:
            async with asyncio.timeout(timeout):
                client = await self._connected()
                answer = await client.call_api(
                    path, method, query_params=query or [], body=body, auth_settings=["BearerToken"],
                    header_params={"Accept": "application/json", "Content-Type": content_type},
                    _preload_content=False, _request_timeout=timeout,
                )  # fmt: skip
                async with answer:
                    said = await _read(answer, path)
        except TimeoutError as error:
            raise Transient(f"the cluster did not answer {path} within {timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Transient(f"the cluster cannot be reached: {type(error).__name__}") from error
        if answer.status == 401:
            # The credential may have expired: it is read anew when asked again.
            await self._retire()
        if not 200 <= answer.status < 300:
            raise _refusal(answer.status, answer.headers.get("Retry-After"), _message(said), method, path)
        try:
            parsed = json.loads(said)
        except ValueError as error:
            raise Permanent(f"the cluster answered {path} with something that is no JSON") from error
        if not isinstance(parsed, dict):
            raise Permanent(f"the cluster answered {path} with something that is no object")
        return parsed

    async def _connected(self) -> Any:
        if self._client is None:
            try:
                from kubernetes_asyncio import client, config
            except ImportError as error:
                raise Permanent("the Kubernetes client is not installed; install grace[kubernetes]") from error
            settings = client.Configuration()
            try:
                if self._kubeconfig is None:
                    config.load_incluster_config(settings)  # type: ignore[no-untyped-call]
                else:
                    await config.load_kube_config(str(self._kubeconfig), self._context, settings, persist_config=False)
            except PermissionError as error:
                raise Refused(f"may not read {self._kubeconfig}", reason="permission") from error
            except Exception as error:  # whatever may be wrong with a file: the loader raises as it comes
                place = self._kubeconfig or "the service account of this pod"
                raise Permanent(f"{place} cannot be used: {type(error).__name__}") from error
            self._client = client.ApiClient(settings)
        return self._client


async def _read(answer: aiohttp.ClientResponse, path: str) -> bytes:
    said = b""
    async for part in answer.content.iter_any():
        said += part
        if len(said) > _ANSWER_LIMIT:
            raise Permanent(f"the cluster's answer to {path} is larger than {_ANSWER_LIMIT} bytes")
    return said


def _message(said: bytes) -> str:
    """What a Status object says, on one line. Whoever answers with something else is not the cluster."""
    if len(said) > _STATUS_LIMIT:
        return "it said too much"
    try:
        message = str(json.loads(said)["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "it gave no reason"
    return " ".join(message.split())


def _refusal(status: int, retry_after: str | None, message: str, method: str, path: str) -> GraceError:
    asked = f"{method} {path}: {message}"
    if status in (401, 403):
        return Refused(f"the cluster does not allow it ({status}): {asked}", reason="permission")
    if status == 409:
        return Transient(f"somebody else changed it in that moment: {asked}")
    if status == 429 or status >= 500:
        wait = float(retry_after) if retry_after and retry_after.isdigit() else None
        return Transient(f"the cluster cannot do it now ({status}): {asked}", retry_after=wait)
    return Permanent(f"the cluster refused ({status}): {asked}")
