"""Plans that wait for people, whoever waits with them: an incident, or the person who started the run by hand."""

from __future__ import annotations

from remediator.governance.facts import Precondition
from remediator.governance.verdict import Verdict
from remediator.ledger import approvals, runs
from remediator.ledger.engine import Tx
from remediator.model import Approval, Run, RunState
from remediator.pipeline.decide import Judged, why


def other_verdict(judged: Judged, approval: Approval) -> str | None:
    """Why an approval does not count for the verdict as it is now: denied, or more people needed; None when it does."""
    decision = judged.decision
    if decision.verdict is Verdict.DENY:
        if approval.status == "pending" and judged.precondition.value is Precondition.UNKNOWN:
            return None  # nothing runs, and what cannot be asked now may be asked again before anybody answers
        found = f"it is denied now: {why(decision)}"
    elif decision.approvable and decision.approvals_needed > approval.needed:
        found = f"{decision.approvals_needed} people must approve it now, not {approval.needed}: {why(decision)}"
    else:
        return None
    changed = approval.policy not in ("", judged.policy)
    return f"the policy has changed since it was asked, and {found}" if changed else found


def not_begun(tx: Tx, run: Run, approval: Approval | None, reason: str) -> None:
    """A run that was to begin, and did nothing: refused, as if it never began, and counted in no budget."""
    if approval is not None:
        approvals.void(tx, approval, reason)
    runs.move(tx, run.id, RunState.REFUSED, reason=reason, started_at=None)
