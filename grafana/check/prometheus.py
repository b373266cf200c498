"""A Prometheus that is asked: queries, label values, what kind its metrics are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

AT_ONCE = 6
TIMEOUT = 60.0
LARGEST = 64 * 2**20
"""Bytes of an answer that are read."""


class Unreachable(Exception):
    """Prometheus does not answer, or answers what is no Prometheus' answer; the message says what to do."""


class Refused(Exception):
    """Prometheus answered that the query is wrong."""


@dataclass(frozen=True)
class Span:
    """From when to when, in Unix seconds."""

    start: float
    end: float


@dataclass(frozen=True)
class Series:
    """One series of a result: its labels, and whether it has any value that is a number."""

    labels: Mapping[str, str]


class Prometheus:
    """Asks one Prometheus through its HTTP API, a few questions at once. A path in the URL is kept."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str = "") -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def series(self, expr: str, span: Span, step: float) -> list[Series]:
        """What a query gives over a span, every `step` seconds."""
        answer = await self._ask(
            "query_range", {"query": expr, "start": _time(span.start), "end": _time(span.end), "step": _time(step)}
        )
        return _series(answer)

    async def series_now(self, expr: str, at: float) -> list[Series]:
        """What a query gives at one moment."""
        return _series(await self._ask("query", {"query": expr, "time": _time(at)}))

    async def texts(self, expr: str, at: float) -> list[str]:
        """What Grafana makes of a query for a variable: `name{labels} value time`, or the value of a scalar."""
        answer = await self._ask("query", {"query": expr, "time": _time(at)})
        result = answer["result"]
        if answer["resultType"] in ("scalar", "string"):
            return [str(result[1])]
        found = []
        for each in result:
            labels = {name: value for name, value in each["metric"].items() if name != "__name__"}
            written = ",".join(f'{name}="{value}"' for name, value in labels.items())
            moment, value = each["value"]
            found.append(f"{each['metric'].get('__name__', '')}{{{written}}} {value} {moment * 1000:g}")
        return found

    async def label_values(self, label: str, span: Span, match: str = "") -> list[str]:
        """The values of a label, of all series or of those that match."""
        fields = {"start": _time(span.start), "end": _time(span.end), **({"match[]": match} if match else {})}
        return [str(value) for value in await self._ask(f"label/{label}/values", fields, method="GET")]

    async def label_names(self, span: Span, match: str = "") -> list[str]:
        fields = {"start": _time(span.start), "end": _time(span.end), **({"match[]": match} if match else {})}
        return [str(value) for value in await self._ask("labels", fields)]

    async def kinds(self) -> Mapping[str, str]:
        """counter, gauge, histogram, summary, unknown, by the name of the metric's family."""
        answer = await self._ask("metadata", {}, method="GET")
        return {name: str(rows[0].get("type", "")) for name, rows in answer.items() if rows}

    async def _ask(self, what: str, fields: Mapping[str, str], method: str = "POST") -> Any:
        url = f"{self._url}/api/v1/{what}"
        sent: dict[str, Any] = {"params": fields} if method == "GET" else {"data": fields}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        try:
            async with (
                self._room,
                self._http.request(
                    method, url, headers=self._headers, timeout=timeout, allow_redirects=False, **sent
                ) as response,
            ):
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > LARGEST:
                        raise Refused(f"the answer is larger than {LARGEST // 2**20} MiB")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unreachable(f"Prometheus at {self._url} does not answer: {_said(error)}") from error
        if response.status in (401, 403):
            raise Unreachable(f"Prometheus at {self._url} wants credentials; give them with --token-file")
        try:
            answer = json.loads(body)
            if answer["status"] == "success":
                return answer["data"]
            raise Refused(str(answer["error"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Unreachable(
                f"what is at {self._url} does not answer as Prometheus does (status {response.status})"
            ) from error


def _series(answer: Any) -> list[Series]:
    if answer["resultType"] in ("scalar", "string"):
        return [Series({})]
    return [Series(each["metric"]) for each in answer["result"]]


def _time(seconds: float) -> str:
    return f"{seconds:.3f}"


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def names_of(kinds: Mapping[str, str], names: Sequence[str]) -> frozenset[str]:
    """Every metric name that Prometheus has seen: with samples, or announced by a target that has none yet."""
    announced = set(kinds)
    for name, kind in kinds.items():
        if kind in ("histogram", "summary"):
            announced |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return frozenset(announced | set(names))


def kind_of(metric: str, kinds: Mapping[str, str]) -> str:
    """The kind of a series by its name; empty where it is not known."""
    if metric in kinds:
        return kinds[metric]
    for end in ("_total", "_bucket", "_count", "_sum", "_created", "_info"):
        if metric.endswith(end) and metric.removesuffix(end) in kinds:
            return "gauge" if end == "_created" else kinds[metric.removesuffix(end)]
    return ""
