"""`GET /api/v1/status`: how Grace stands, at a glance, and what the exporter reads the autonomy metrics from."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

from sqlalchemy.engine import Connection

from remediator.ledger import approvals, incidents, runs, settings
from remediator.pipeline.decide import current_settings, settings_json
from remediator.pipeline.parts import Parts

DAY = 86400.0
ENOUGH = 10
"""Runs verified by metric below which the autonomy ratios are idle."""
PEER_CHECK_EVERY = 10.0


class Status:
    """Answers with the ledger's facts; whether the peers answer is asked at most every ten seconds."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._peers: dict[str, bool] = {"prometheus": False, "alertmanager": False}
        self._asked = 0.0
        self._lock = asyncio.Lock()

    async def document(self) -> dict[str, Any]:
        """The whole status. Peers that are away show here, and nowhere stop it."""
        parts = self._parts
        facts = await parts.ledger.read(self._facts)
        reachable = await self._reachable()
        seq, head = parts.ledger.head
        return {
            "version": version("grace"),
            "now": parts.clock.now(),
            "ready": parts.ledger.writable,
            "prometheus": {"url": parts.prometheus.url, "reachable": reachable["prometheus"]},
            "alertmanager": {"url": parts.alertmanager.url, "reachable": reachable["alertmanager"]},
            **facts,
            "audit": {"entries": seq, "head": head.hex(), "checkpoint": parts.checkpointer.last().size},
            "catalog": parts.catalog.digest,
        }

    def _facts(self, connection: Connection) -> dict[str, Any]:
        parts, now = self._parts, self._parts.clock.now()
        states = incidents.counts(connection)
        executed = runs.counts(connection, now - DAY)
        return {
            "incidents": {"open": sum(states.values()), "by_state": states},
            "runs": {
                "running": sum(executed.get(state, 0) for state in ("running", "verifying", "undoing")),
                "last_24h": sum(executed.values()),
                "by_state": executed,
            },
            "governance": {
                **settings_json(current_settings(connection, parts)),
                "evidence": parts.policy.evidence,
                "holds": settings.held(connection, now),
            },
            "autonomy": autonomy(connection, now),
        }

    async def _reachable(self) -> dict[str, bool]:
        async with self._lock:
            now = self._parts.clock.now()
            if now - self._asked >= PEER_CHECK_EVERY:
                prometheus, alertmanager = await asyncio.gather(
                    self._parts.prometheus.reachable(), self._parts.alertmanager.reachable()
                )
                self._peers = {"prometheus": prometheus, "alertmanager": alertmanager}
                self._asked = now
            return self._peers


def autonomy(connection: Connection, now: float) -> dict[str, Any]:
    """The four autonomy metrics, over runs verified by metric in the last 24 hours; ratios are null below ten."""
    counted = runs.autonomy(connection, now - DAY)
    verified = counted["verified"]

    def share(part: int) -> float | None:
        return part / verified if verified >= ENOUGH else None

    return {
        "verified_runs": verified,
        "plan_success_ratio": share(counted["healed"]),
        "rollback_ratio": share(counted["rolled_back"]),
        "autonomy_ratio": share(counted["alone"]),
        "approvals_pending": approvals.pending_count(connection),
    }
