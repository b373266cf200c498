"""How sure Grace is that a playbook will help: how much of the evidence is bad, times how often the playbook helped."""

from __future__ import annotations

from collections.abc import Sequence

from catalog.model import Band, Severity
from catalog.policy import Policy

CRITICAL_MEASUREMENTS = 3
"""A critical alert rests on the last three measurements, a warning on the whole window."""


def share_of_evidence(measurements: Sequence[Band | None], severity: Severity) -> float:
    """0-1: the share of the evidence that lies in the alert's band or worse; 0 where there is no evidence.

    `measurements` are the window's, oldest first; None (no data, idle) is no measurement.
    """
    known = [band for band in measurements if band is not None]
    judged = known[-CRITICAL_MEASUREMENTS:] if severity is Severity.CRITICAL else known
    if not judged:
        return 0.0
    least = Band(severity.value).rank
    return sum(band.rank >= least for band in judged) / len(judged)


def track_record(helped: int, did_not: int, policy: Policy) -> float:
    """0-1: the mean of the Beta prior (8 of 10 by default) updated by verified outcomes."""
    successes = policy.prior_successes + helped
    return successes / (successes + policy.prior_failures + did_not)


def confidence(share: float, helped: int, did_not: int, policy: Policy) -> float:
    """0-1. Three of three bad measurements and no outcome yet: 1.0 x 0.8 = 0.8."""
    return share * track_record(helped, did_not, policy)
