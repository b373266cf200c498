"""Every command that talks to the remediator, against a real one."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest


def test_a_fired_alert_becomes_an_incident_whose_story_is_told(rig: Any) -> None:
    when = "2026-11-22T07:50:19.5Z"
    assert rig.ok("fire", "infra.disk_usage", "--starts-at", when) == "accepted 1, already known 0\n"
    assert rig.ok("fire", "infra.disk_usage", "--starts-at", when) == "accepted 0, already known 1\n"

    def mine() -> Any:
        return [i for i in rig.json("incidents")["items"] if i["metric_id"] == "infra.disk_usage" and i["verdict"]]

    (incident,) = rig.until(mine)
    assert (incident["resource"], incident["band"]) == ("demo-volume", "critical")
    table = rig.ok("incidents", "list").splitlines()
    assert table[0].split() == ["ID", "OPENED", "METRIC", "RESOURCE", "BAND", "STATE", "OUTCOME"]
    assert incident["id"] in "".join(table)
    story = rig.ok("incidents", "show", incident["id"])
    assert "alert firing: critical infra.disk_usage on demo-volume (opens an incident)" in story
    assert "decision: cleanup-disk (tier_2): deny" in story
    assert rig.ok("incidents", "show", incident["id"][:-1]) == story, "a unique beginning is enough"
    acknowledged = rig.ok("incidents", "ack", incident["id"])
    assert "acknowledged by admin" in acknowledged
    closed = rig.json("incidents", "close", incident["id"], "--reason", "a rehearsal")
    assert (closed["state"], closed["outcome"]) == ("closed", "acknowledged")
    assert rig.grace("incidents", "close", incident["id"], "--reason", "again").exit_code == 1
    assert incident["id"] in rig.ok("incidents", "--state", "closed")
    ended = rig.ok("incidents", "show", incident["id"]).splitlines()[-1]
    assert "escalated → closed (acknowledged)" in ended


def test_a_plan_is_held_approved_by_a_person_acts_and_is_given_back(rig: Any) -> None:
    assert rig.ok("approvals") == "nothing waits for approval\n"
    rehearsed = rig.json("run", "stop-ingestion-cycle", "--target", "ingestion", "--dry-run")
    assert (rehearsed["verdict"], rehearsed["tier"]) == ("hold", "tier_3")
    run = rig.json("run", "stop-ingestion-cycle", "--target", "ingestion", "--reason", "bad sources")
    assert run["state"] == "held"
    assert rig.control("paused") == 0
    (approval,) = rig.json("approvals")["items"]
    assert approval["run_id"] == run["id"]
    exact = rig.ok("approvals", "show", approval["id"])
    assert "pause ingestion (sql): value: 0 → 1" in exact

    kept = rig.folder / "tokens" / "ada"
    assert "is in" in rig.ok("tokens", "add", "ada", "--role", "approver", "--save", str(kept))
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    for _ in range(approval["needed"] - 1):
        rig.ok("approvals", "approve", approval["id"], "--reason", "seen it")
    given = rig.json("approvals", "approve", approval["id"], "--reason", "seen it too", "--as", "ada")
    assert given["status"] == "approved"
    assert "ada" in [vote["name"] for vote in given["votes"]]
    assert rig.grace("approvals", "approve", approval["id"], "--reason", "again").exit_code == 1

    ended = rig.until(lambda: (r := rig.json("runs", "show", run["id"]))["state"] == "contained" and r)
    assert rig.control("paused") == 1
    shown = rig.ok("runs", "show", run["id"])
    assert "1. pause ingestion (sql): value: 0 → 1 [done]" in shown
    assert run["id"] in rig.ok("runs")
    assert ended["kept"]
    rig.ok("undo", run["id"], "--reason", "sources are clean")
    rig.until(lambda: rig.control("paused") == 0)
    rig.until(lambda: rig.json("runs", "show", run["id"])["kept"] is False)


def test_rejecting_and_cancelling_leave_the_target_alone(rig: Any) -> None:
    rig.ok("governance", "supervise")
    rig.json("run", "throttle-learning", "--target", "ingestion")
    (approval,) = rig.json("approvals")["items"]
    assert rig.json("approvals", "reject", approval["id"], "--reason", "no")["status"] == "rejected"
    assert approval["id"] in rig.ok("approvals", "list", "--state", "rejected")
    run = rig.json("run", "throttle-learning", "--target", "ingestion")
    assert rig.json("runs", "cancel", run["id"], "--reason", "changed my mind")["state"] == "cancelled"
    assert run["id"] in rig.ok("runs", "list", "--all")
    assert rig.control("rate_limit") == 60
    rig.ok("governance", "release")


def test_governance_is_shown_and_changed(rig: Any) -> None:
    assert rig.ok("governance").splitlines()[:4] == [
        "ceiling     tier_2",
        "strictness  0",
        "supervised  no",
        "frozen      no",
    ]
    assert rig.json("governance", "set-ceiling", "tier_3", "--reason", "trusted")["ceiling"] == "tier_3"
    assert rig.json("governance", "strictness", "2", "--reason", "careful")["strictness"] == 2
    assert rig.json("governance", "supervise")["supervised"] is True
    assert rig.json("governance", "release")["supervised"] is False
    assert rig.json("governance", "freeze")["frozen"] is True
    assert rig.grace("run", "throttle-learning", "--target", "ingestion").exit_code in (0, 1)
    assert rig.control("rate_limit") == 60, "nothing starts while frozen"
    assert rig.json("governance", "unfreeze")["frozen"] is False
    rig.json("governance", "strictness", "0", "--reason", "back")
    assert rig.json("governance", "set-ceiling", "tier_2", "--reason", "back")["ceiling"] == "tier_2"


def test_holding_a_target(rig: Any) -> None:
    assert rig.ok("hold", "ingestion", "--for", "1h", "--reason", "deploy").startswith("ingestion is held until 20")
    assert "hold        ingestion until" in rig.ok("governance")
    assert rig.ok("hold", "ingestion", "--off") == "ingestion is no longer held\n"
    assert rig.grace("hold", "ingestion", "--off").exit_code == 2
    assert rig.grace("hold", "nowhere", "--for", "1h", "--reason", "x").exit_code == 2
    for wrong in (
        ["hold", "x"],
        ["hold", "x", "--for", "soon", "--reason", "x"],
        ["hold", "x", "--off", "--for", "1h"],
    ):
        assert rig.grace(*wrong).exit_code == 2


def test_tokens_are_printed_once_and_end_when_revoked(rig: Any) -> None:
    token = rig.ok("tokens", "add", "vera", "--role", "viewer").strip()
    assert token.startswith("grace_")
    file = rig.folder / "vera.token"
    file.write_text(token)
    rig.ok("incidents", "--token-file", str(file))
    refused = rig.grace("governance", "freeze", "--token-file", str(file))
    assert refused.exit_code == 2
    assert "operator" in refused.stderr
    assert token not in rig.ok("tokens")
    assert rig.grace("tokens", "add", "vera", "--role", "viewer").exit_code == 1
    assert rig.ok("tokens", "revoke", "vera") == "the token of vera is revoked\n"
    ended = rig.grace("incidents", "--token-file", str(file))
    assert ended.exit_code == 2
    assert token not in ended.output
    assert rig.grace("tokens", "add", "a b", "--role", "viewer").exit_code == 2


@pytest.mark.parametrize("kind", ["incidents", "runs", "approvals"])
def test_what_does_not_exist_is_exit_2_with_one_line(rig: Any, kind: str) -> None:
    result = rig.grace(kind, "show", "nothing/../such")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "there is no" in result.stderr


def test_the_ledger_is_checked_and_backed_up_while_it_is_written(rig: Any, tmp_path: Path) -> None:
    found = rig.json("ledger", "check")
    assert found["ok"]
    assert found["rows"]["audit"] > 0
    copy = tmp_path / "copy.db"
    made = rig.json("ledger", "backup", str(copy))
    assert made["rows"]["audit"] >= found["rows"]["audit"]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["copy.db"], "one file, nothing beside it"
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM tokens").fetchone()[0] >= 2
    assert rig.grace("ledger", "backup", str(copy)).exit_code == 2, "never over a file"
    assert rig.grace("ledger", "backup", str(tmp_path / "no" / "folder")).exit_code == 2


def test_the_printed_body_is_what_is_posted(rig: Any) -> None:
    body = rig.grace("fire", "api.error_rate", "--print").stdout_bytes
    assert body.endswith(b"}\n")
    document = json.loads(body)
    assert document["alerts"][0]["labels"]["metric_id"] == "api.error_rate"
    assert [i for i in rig.json("incidents")["items"] if i["metric_id"] == "api.error_rate"] == []
