"""From facts to a verdict. Pure and total: equal arguments give an equal decision, and there always is one."""

from __future__ import annotations

from collections.abc import Iterable

from catalog.policy import Policy
from remediator.governance.checks import CHECKS, Case, Check, Kind
from remediator.governance.facts import Evidence, Facts, PlanFacts, Settings
from remediator.governance.verdict import Decision, Reason, Verdict


def decide(plan: PlanFacts, facts: Facts, policy: Policy, settings: Settings) -> Decision:
    """The verdict on a plan with every reason for it.

    The numbers come from `policy`; ceiling, strictness, lock, freeze and shadow only from `settings`, which win over
    the file. A HOLD whose every reason people can lift becomes ALLOW once `facts.approvals_given` is enough.
    """
    case = Case(plan, facts, policy, settings)
    kinds = case.kinds
    findings = {check: why for check in CHECKS if not check.spares & kinds and (why := check.finds(case)) is not None}
    notes = _notes(case, kinds)
    verdict = _verdict(findings)
    approvals = max((check.people(case) for check in findings if check.approvable), default=0)
    liftable = verdict is Verdict.HOLD and all(check.approvable for check in findings)
    approved = liftable and facts.approvals_given >= approvals
    detail = {check.reason.value: why for check, why in findings.items()} | notes
    reasons = tuple(check.reason for check in findings) + tuple(Reason(word) for word in notes)
    if approved:
        verdict, reasons = Verdict.ALLOW, (Reason.APPROVED, *reasons)
        detail[Reason.APPROVED.value] = f"{facts.approvals_given} of {approvals} needed approvals"
    elif verdict is Verdict.ALLOW and not kinds & {Kind.RATCHET, Kind.UNDO}:
        reasons = (Reason.WITHIN_CEILING, *reasons)
        detail[Reason.WITHIN_CEILING.value] = f"{plan.tier} is within the ceiling {settings.ceiling}"
    return Decision(
        verdict=verdict,
        reasons=reasons,
        approvals_needed=approvals,
        detail=detail,
        retry_at=_retry_at(case, findings),
        approvable=liftable and not approved,
        would_be=_without_shadow(case, findings, approvals),
    )


def _verdict(findings: Iterable[Check]) -> Verdict:
    return max((check.verdict for check in findings), default=Verdict.ALLOW)


def _notes(case: Case, kinds: frozenset[Kind]) -> dict[str, str]:
    """What restricts nothing but must be said."""
    notes: dict[str, str] = {}
    if kinds & {Kind.RELEASE, Kind.BY_HAND}:
        notes[Reason.EVIDENCE_WAIVED.value] = "no alert stands behind this plan, so there is no band to confirm"
    elif Kind.UNDO in kinds:
        notes[Reason.UNDO.value] = "a person takes back what a run changed"
    elif case.policy.evidence == "trust_alert" and case.facts.evidence is not Evidence.CONFIRMED:
        notes[Reason.EVIDENCE_TRUSTED.value] = "the policy takes the alert's word (trust_alert): for test rigs only"
    if Kind.RATCHET in kinds:
        notes[Reason.SAFETY_RATCHET.value] = "it only reduces what runs alone, so it applies at once"
    return notes


def _retry_at(case: Case, findings: Iterable[Check]) -> float | None:
    """When the last of the holds that people cannot lift passes, where each of them says when."""
    waits = [check.passes_at(case) for check in findings if not check.approvable]
    known = [moment for moment in waits if moment is not None]
    return max(known) if known and len(known) == len(waits) else None


def _without_shadow(case: Case, findings: dict[Check, str], approvals: int) -> Verdict | None:
    if not any(check.reason is Reason.SHADOW for check in findings):
        return None
    others = [check for check in findings if check.reason is not Reason.SHADOW]
    verdict = _verdict(others)
    if (
        verdict is Verdict.HOLD
        and all(check.approvable for check in others)
        and case.facts.approvals_given >= approvals
    ):
        return Verdict.ALLOW
    return verdict
