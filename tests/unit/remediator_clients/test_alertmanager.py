"""Alertmanager's answers as frozen values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import ClientSession

from remediator.alertmanager import Alertmanager
from remediator.errors import Permanent

HELD = {
    "annotations": {"summary": "hot"},
    "endsAt": "2026-11-22T07:54:19.483Z",
    "fingerprint": "d33981e1927f3d5c",
    "receivers": [{"name": "grace"}, {"name": "people"}],
    "startsAt": "2026-11-22T07:50:19.483Z",
    "status": {"inhibitedBy": [], "silencedBy": ["0b1e"], "state": "suppressed"},
    "updatedAt": "2026-11-22T07:50:19.483Z",
    "labels": {"alertname": "Hot"},
}


async def test_alerts_of_exactly_one_receiver(answering: Any, session: ClientSession) -> None:
    answering.body = json.dumps([HELD, HELD | {"receivers": [{"name": "grace.2"}]}]).encode()
    (alert,) = await Alertmanager(session, answering.url).alerts("grace")
    assert alert.fingerprint == "d33981e1927f3d5c"
    assert alert.state == "suppressed"
    assert alert.silenced_by == ("0b1e",)
    assert alert.receivers == ("grace", "people")
    assert alert.starts_at == pytest.approx(1795333819.483)
    assert alert.key == "d33981e1927f3d5c/2026-11-22T07:50:19.483Z/firing"
    _, path, query, _ = answering.asked[0]
    assert path == "/api/v2/alerts"
    assert query["receiver"] == "grace"
    assert query["silenced"] == query["inhibited"] == query["active"] == "true"


async def test_a_receiver_of_odd_characters_is_taken_literally(answering: Any, session: ClientSession) -> None:
    answering.body = b"[]"
    await Alertmanager(session, answering.url).alerts("team a/grace.*")
    assert answering.asked[0][2]["receiver"] == r"team\ a/grace\.\*"


async def test_status(answering: Any, session: ClientSession) -> None:
    answering.body = json.dumps(
        {"uptime": "2026-11-22T07:50:19.5Z", "versionInfo": {"version": "0.25.0"}, "cluster": {"status": "ready"}}
    ).encode()
    status = await Alertmanager(session, answering.url).status()
    assert (status.up_since, status.version, status.cluster) == (1795333819.5, "0.25.0", "ready")
    assert await Alertmanager(session, answering.url).reachable()


async def test_silences(answering: Any, session: ClientSession) -> None:
    answering.body = json.dumps(
        [{"id": "0b1e", "status": {"state": "active"}, "updatedAt": "2026-11-22T07:50:19Z", "comment": "deploy",
          "createdBy": "ops", "startsAt": "2026-11-22T07:50:19Z", "endsAt": "2026-11-22T08:50:19Z",
          "matchers": [{"name": "resource", "value": "api-1", "isRegex": False, "isEqual": True}]}]
    ).encode()  # fmt: skip
    (silence,) = await Alertmanager(session, answering.url).silences()
    assert (silence.id, silence.state, silence.comment) == ("0b1e", "active", "deploy")
    assert silence.ends_at - silence.starts_at == 3600


async def test_post_alerts(answering: Any, session: ClientSession) -> None:
    await Alertmanager(session, answering.url).post_alerts([{"labels": {"alertname": "Hot"}}])
    assert answering.documents == [[{"labels": {"alertname": "Hot"}}]]


@pytest.mark.parametrize("body", [b"{}", b'[{"fingerprint": "x"}]', b"[7]", b"<html>", b""])
async def test_an_answer_that_is_not_alertmanagers(answering: Any, session: ClientSession, body: bytes) -> None:
    answering.body = body
    with pytest.raises(Permanent, match="url"):
        await Alertmanager(session, answering.url).alerts("grace")
