"""Audit entries in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator import story
from remediator.story import sentence, timeline

REMEDIATOR = Path(story.__file__).parent
NOT_OF_AN_INCIDENT = {
    "alert_set_aside",
    "retention",
    "started",
    "policy_confirmed",
    "reloaded",
    "storm_began",
    "storm_ended",
    "target_held",
    "target_unheld",
    "token_added",
    "token_revoked",
}


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        (
            "alert_received",
            {
                "status": "firing",
                "severity": "critical",
                "metric_id": "m",
                "resource": "r",
                "meaning": "opens an incident",
            },
            "alert firing: critical m on r (opens an incident)",
        ),
        (
            "alert_received",
            {"status": "resolved", "alertname": "Foreign", "severity": "", "meaning": "no playbook"},
            "alert resolved: Foreign (no playbook)",
        ),
        (
            "decision",
            {
                "playbook": "shift-load",
                "tier": "tier_2",
                "target": "lb",
                "verdict": "allow",
                "confidence": 0.8,
                "evidence": "confirmed",
            },
            "decision: shift-load (tier_2) on lb: allow, confidence 0.8, evidence confirmed",
        ),
        (
            "decision",
            {
                "playbook": "p",
                "tier": "tier_3",
                "verdict": "hold",
                "reasons": ["tier_needs_approval"],
                "confidence": 1,
                "evidence": "absent",
                "approvals_needed": 1,
            },
            "decision: p (tier_3): hold (tier_needs_approval), confidence 1, evidence absent, 1 approvals needed",
        ),
        (
            "incident_moved",
            {"from": "verifying", "to": "closed", "outcome": "healed", "reason": "good for 3 measurements"},
            "incident verifying → closed (healed): good for 3 measurements",
        ),
        (
            "step_intended",
            {
                "phase": "do",
                "step": 0,
                "attempt": 2,
                "verb": "shift",
                "target": "lb",
                "driver": "haproxy",
                "before": {"api-1": 100},
                "desired": {"api-1": 50},
            },
            "do step 0: shift lb through haproxy, from api-1=100 to api-1=50, attempt 2",
        ),
        (
            "step_done",
            {"phase": "do", "step": 0, "result": "done", "after": {"api-1": 50}},
            "do step 0 done, now api-1=50",
        ),
        (
            "step_failed",
            {"phase": "undo", "step": 1, "result": "failed", "error": "no socket"},
            "undo step 1 failed: no socket",
        ),
        (
            "approval_asked",
            {"approval": "apr_1", "tier": "tier_4", "needed": 2, "expires_at": 0},
            "approval apr_1 asked of 2 people for a tier_4 plan, until 1970-01-01 00:00:00Z",
        ),
        ("approval_vote", {"approval": "apr_1", "vote": "approve", "reason": "ok"}, "approve on approval apr_1: ok"),
        ("approval_expired", {"approval": "apr_1"}, "approval apr_1 expired"),
        ("something_new", {"a": 1}, "something new: a=1"),
        ("something_new", {}, "something new"),
    ],
)
def test_sentences(kind: str, body: dict[str, object], words: str) -> None:
    assert sentence(kind, body) == words


def test_a_timeline_is_one_aligned_line_an_entry() -> None:
    lines = list(
        timeline(
            [
                {"at": 0.0, "actor": "grace", "kind": "undo_asked", "body": {}},
                {"at": 1.0, "actor": "ada\x1b[2J", "kind": "undo_asked", "body": {"reason": "x\ny"}},
            ]
        )
    )
    assert lines == [
        "1970-01-01 00:00:00Z  grace    undo asked for",
        "1970-01-01 00:00:01Z  ada�[2J  undo asked for: x�y",
    ]


def test_every_kind_that_is_recorded_of_an_incident_has_words() -> None:
    recorded = set()
    for path in REMEDIATOR.rglob("*.py"):
        recorded |= set(re.findall(r'\brecord\(\s*"([a-z_]+)"', path.read_text()))
    assert "incident_moved" in recorded
    assert recorded - NOT_OF_AN_INCIDENT <= set(story._WORDS)


NAMES = st.sampled_from(
    ["reason", "step", "verb", "before", "after", "needed", "expires_at", "reasons", "resource", "from"]
)
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)


@given(st.sampled_from(sorted(story._WORDS)), st.dictionaries(NAMES, VALUES))
def test_no_entry_breaks_the_story(kind: str, body: dict[str, object]) -> None:
    assert sentence(kind, body).isprintable()
