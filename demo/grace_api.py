"""The remediator's API as a drill needs it: read incidents, runs and approvals, and decide as a person would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import aiohttp
from pydantic import BaseModel, ConfigDict, ValidationError

NEWEST = 200
"""Incidents, runs and approvals that are looked at, the newest ones."""


class ApiError(Exception):
    """The remediator refused, or did not answer as its API says. `status` is the HTTP status, 0 where there is none."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status} {detail}" if status else detail)
        self.status = status


class Answer(BaseModel):
    """What is read of an answer; whatever else it carries is of no interest here."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Incident(Answer):
    id: str
    metric_id: str
    resource: str
    band: str
    state: str
    opened_at: float
    changed_at: float
    closed_at: float | None = None
    outcome: str | None = None
    reason: str = ""
    verdict: str | None = None
    reasons: tuple[str, ...] = ()

    @property
    def closed(self) -> bool:
        return self.state == "closed"


class Run(Answer):
    id: str
    incident_id: str | None
    playbook_id: str
    target: str
    state: str
    verdict: str
    reasons: tuple[str, ...]
    confidence: float
    tier: int | str = ""
    created_at: float | None = None
    started_at: float | None = None
    acted_at: float | None = None
    ended_at: float | None = None
    kept: bool = False
    reason: str = ""


class Approval(Answer):
    id: str
    run_id: str | None = None
    status: str
    needed: int
    given: int


class GraceApi:
    """A client that carries one token. Every call raises ApiError when it is refused or nobody answers."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ready(self) -> bool:
        """Whether a remediator is there and accepts alerts."""
        try:
            async with self._http.get(f"{self._url}/-/ready", timeout=aiohttp.ClientTimeout(total=3)) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def incidents(self) -> Sequence[Incident]:
        """The newest incidents, the newest first."""
        return [Incident.model_validate(item) for item in await self._newest("incidents")]

    async def runs(self) -> Sequence[Run]:
        """The newest runs, also those that never began, the newest first."""
        return [Run.model_validate(item) for item in await self._newest("runs", all="true")]

    async def pending_approvals(self) -> Sequence[Approval]:
        """Approvals that wait for a person."""
        return [
            approval
            for item in await self._newest("approvals", state="pending")
            if (approval := Approval.model_validate(item)).status == "pending"
        ]

    async def decide(self, approval: str, decision: Literal["approve", "reject"], reason: str) -> Approval:
        """Approve or reject; the approval as it then is."""
        return Approval.model_validate(await self._post(f"approvals/{approval}/{decision}", {"reason": reason}))

    async def give_back(self, run: str, how: Literal["undo", "release"], reason: str) -> None:
        """Ask for what this run changed to be given back."""
        await self._post(f"runs/{run}/{how}", {"reason": reason})

    async def run_by_hand(self, playbook: str, target: str) -> Run:
        """Ask for a playbook to be run by hand, under the same governance."""
        return Run.model_validate(await self._post("runs", {"playbook": playbook, "target": target, "dry_run": False}))

    async def _newest(self, noun: str, **query: str) -> list[Any]:
        page = await self._ask("GET", noun, query={**query, "limit": str(NEWEST)})
        return list(page["items"])

    async def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return await self._ask("POST", path, body=body)

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            async with self._http.request(
                method,
                f"{self._url}/api/v1/{path}",
                params=query,
                json=body,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=30),
                allow_redirects=False,
            ) as answer:
                content = await answer.json(content_type=None) if answer.content_length != 0 else None
                if answer.status >= 300:
                    raise ApiError(answer.status, _detail(content))
                return content
        except (aiohttp.ClientError, TimeoutError, ValueError, ValidationError) as error:
            raise ApiError(0, f"{method} {path}: {type(error).__name__} {error}") from error


def _detail(problem: object) -> str:
    if isinstance(problem, dict):
        return str(problem.get("detail") or problem.get("title") or "refused")
    return "refused"
