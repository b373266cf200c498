"""Governance written a second time, from the documented numbers alone and in another shape: findings by plain ifs.

It shares no code with the checks; where both agree on every combination, neither can be wrong by a slip.
"""

from __future__ import annotations

FLOORS = {0: 0.6, 1: 0.7, 2: 0.8, 3: 0.9}
COOLDOWNS = {0: 600, 1: 1200, 2: 2400, 3: 4800}
FIRST_ATTEMPT_WAITS = {0: 120, 1: 240, 2: 480, 3: 960}


def expected(plan, facts, settings, *, ratchet: str = "immediate", evidence: str = "required"):
    """(verdict, reasons that restrict, approvals needed) as the documentation says."""
    undo = plan.purpose == "undo"
    without_alert = plan.purpose in ("undo", "release", "by_hand")
    report = plan.tier == 1 and not plan.mutating
    safety = plan.safety and plan.purpose in ("heal", "by_hand")
    at_once = safety and ratchet == "immediate"
    denied, lifted, fixed = set(), {}, set()
    usual = 2 if plan.tier == 4 else 1

    if not facts.target_known:
        denied.add("unknown_target")
    if not facts.capable:
        denied.add("missing_capability")
    if settings.shadow or plan.shadow:
        fixed.add("shadow")
    if facts.target_busy:
        fixed.add("target_busy")
    if not undo:
        if settings.frozen:
            fixed.add("frozen")
        if facts.hold_until is not None and facts.hold_until > facts.now:
            fixed.add("target_on_hold")
        if facts.precondition in ("false", "unknown"):
            denied.add("precondition_failed")
        last = facts.last_run_of_playbook_on_target_at
        if last is not None and facts.now - last < COOLDOWNS[settings.strictness]:
            fixed.add("cooldown")
        if plan.risk == "high" and settings.strictness in (2, 3) and not safety:
            denied.add("high_risk_denied")
        if not report:
            if facts.maintenance:
                fixed.add("maintenance")
            share = max(1, facts.group_targets // 4)
            if facts.group_active_runs >= 1 or facts.group_targets_changed_recently >= share:
                fixed.add("blast_radius")
        if not at_once:
            if plan.tier in (3, 4):
                lifted["tier_needs_approval"] = {3: 1, 4: 2}[plan.tier]
            if plan.tier > settings.ceiling:
                lifted["tier_above_ceiling"] = {2: 1, 3: 2, 4: 3}[plan.tier]
            if facts.runs_last_hour_target >= 6:
                lifted["rate_target"] = usual
            if facts.runs_last_hour_all >= 30:
                lifted["rate_all"] = usual
            if not report:
                if settings.supervised:
                    lifted["supervised"] = usual
                if facts.storm_active or facts.incident_groups_now >= 5:
                    lifted["storm"] = usual
    if not without_alert:
        if facts.ineffective_in_incident >= 3:
            denied.add("strikes")
        if facts.attempts_in_incident >= 1 and plan.verified_by != "effect" and facts.last_attempt_at is not None:
            wait = FIRST_ATTEMPT_WAITS[settings.strictness] * 2 ** (facts.attempts_in_incident - 1)
            if facts.now - facts.last_attempt_at < wait:
                fixed.add("attempt_cooldown")
        if not report:
            if facts.evidence != "confirmed" and evidence == "required":
                lifted["evidence_absent"] = usual
            if not at_once:
                if facts.confidence < FLOORS[settings.strictness]:
                    lifted["confidence_below_floor"] = usual
                if facts.repeat_heals >= 3:
                    denied.add("repeat_heals")

    approvals = max(lifted.values(), default=0)
    reasons = denied | fixed | set(lifted)
    if denied:
        return "deny", reasons, approvals
    if fixed or facts.approvals_given < approvals:
        return "hold", reasons, approvals
    return "allow", reasons, approvals
