"""How dashboards read what the remediator reads from its ledger.

Replicas share one ledger and expose the same figures, so they are never added up: of each label set the highest counts.
Zoomed out, a graph's point stands for a whole step, and shows the most there was in it: an approval that waited for a
minute does not vanish from a week's view.
"""

from __future__ import annotations

ACTIVE = "running|verifying|undoing"
"""States of a run that has its target to itself."""
INCIDENT = "metric_id, resource"


def once(selector: str, by: str) -> str:
    """The series, of several replicas one."""
    return f"max by ({by}) ({selector})"


def most(selector: str, by: str) -> str:
    """The most there was within a step, of several replicas one."""
    return f"max by ({by}) (max_over_time({selector}[$__interval]))"


def total(selector: str, by: str) -> str:
    """All of them now, 0 where there is none."""
    return f"sum({once(selector, by)}) or vector(0)"


def buckets(histogram: str) -> str:
    """What a histogram of the ledger gained within each step, by its bounds, for a heatmap."""
    per_label = f"max without (instance, job) (increase({histogram}_bucket[$__rate_interval]))"
    return f"sum by (le) ({per_label})"


def pending() -> str:
    return "max(max_over_time(grace_remediator_approvals_pending[$__interval]))"


def who() -> str:
    """1 while an incident is in Grace's hands, 2 while a person is wanted."""
    return f"{most('grace_remediator_escalations', INCIDENT)} * 2\nor\n{most('grace_remediator_handling', INCIDENT)}"
