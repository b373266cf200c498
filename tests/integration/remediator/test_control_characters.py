"""No text that a person or a program sends makes the API stumble, whichever engine keeps it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.prove.world import Replica, replicas

NUL, ESCAPE, HALF = "a\0b", "\x1b[2J", "\ud800"


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_control_characters_are_refused_and_nothing_is_changed(engine: str, free_port: Callable[[], int]) -> None:
    with replicas(engine, 1, 1, free_port) as (made, rows):
        (service,) = made
        service.start()
        assert service.post("t-0") == 202
        Replica.until(lambda: [each for each in service.items("/api/v1/incidents") if each["state"] == "contained"])
        incident, run = service.items("/api/v1/incidents")[0]["id"], service.items("/api/v1/runs")[0]["id"]
        before = service.items("/api/v1/audit?limit=500")

        for bad in (NUL, ESCAPE, HALF):
            for method, path, body in _calls(incident, run, bad):
                status, problem = service.call(method, path, body)
                assert status == 400, (method, path, body, problem)
                assert "control character" in problem["detail"]
        for bad in (NUL, ESCAPE):
            for path in _paths(quote(bad)):
                status, problem = service.call(*path)
                assert status in (400, 404), (path, problem)
        assert service.items("/api/v1/audit?limit=500") == before, "nothing of it was written"

        status, answer = service.call("POST", f"/api/v1/incidents/{incident}/ack", {"reason": "two\nlines, é ☃"})
        assert status == 200
        assert [entry["body"] for entry in answer["timeline"] if entry["kind"] == "incident_acknowledged"] == [
            {"reason": "two lines, é ☃"}
        ]
        assert rows.changes()["t-0"] == [(64, 32)]
        service.stop()


def _calls(incident: str, run: str, bad: str) -> list[tuple[str, str, dict[str, Any]]]:
    why = {"reason": bad}
    return [
        ("POST", f"/api/v1/incidents/{incident}/ack", why),
        ("POST", f"/api/v1/incidents/{incident}/close", why),
        ("POST", f"/api/v1/runs/{run}/undo", why),
        ("POST", f"/api/v1/runs/{run}/release", why),
        ("POST", f"/api/v1/runs/{run}/cancel", why),
        ("POST", "/api/v1/runs", {"playbook": bad, "target": "t-0"}),
        ("POST", "/api/v1/runs", {"playbook": "prove-step", "target": bad}),
        ("POST", "/api/v1/runs", {"playbook": "prove-step", "target": "t-0", **why}),
        ("PUT", "/api/v1/governance", {"strictness": 1, **why}),
        ("PUT", "/api/v1/holds/t-0", {"seconds": 60, **why}),
        ("DELETE", "/api/v1/holds/t-0", why),
        ("POST", "/api/v1/tokens", {"name": bad, "role": "viewer"}),
    ]


def _paths(bad: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Names in paths and queries; where they are looked up, an engine is asked for them."""
    why = {"reason": "why not"}
    return [
        ("GET", f"/api/v1/incidents/{bad}", {}),
        ("GET", f"/api/v1/runs/{bad}", {}),
        ("GET", f"/api/v1/approvals/{bad}", {}),
        ("GET", f"/api/v1/incidents?state={bad}", {}),
        ("GET", f"/api/v1/runs?cursor={bad}", {}),
        ("GET", f"/api/v1/audit?incident={bad}", {}),
        ("POST", f"/api/v1/approvals/{bad}/approve", why),
        ("PUT", f"/api/v1/holds/{bad}", {"seconds": 60, **why}),
        ("DELETE", f"/api/v1/holds/{bad}", why),
        ("DELETE", f"/api/v1/tokens/{bad}", {}),
    ]
