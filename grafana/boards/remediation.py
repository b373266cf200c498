"""What Grace did: incidents, runs and their outcomes, approvals."""

from __future__ import annotations

from grafana import units
from grafana.boards import marks
from grafana.boards.frame import Board, Row
from grafana.boards.ledger import ACTIVE, INCIDENT, most, once, pending, total, who
from grafana.boards.panels import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    About,
    Panel,
    Query,
    lines,
    number,
    rows,
    shares,
    states,
)

UID = "grace-remediation"
_RUN = "playbook, state"
_AT_WORK = f'grace_remediator_runs{{state=~"{ACTIVE}"}}'
_ENDED = f'grace_remediator_runs{{state!~"{ACTIVE}"}}'
_HEALED = 'grace_remediator_runs{state="healed"}'
_VERIFIED = 'grace_remediator_runs{state=~"healed|ineffective|rolled_back|undo_failed|failed"}'
_COLORS = {
    "healed": GREEN,
    "effective": GREEN,
    "contained": BLUE,
    "ineffective": ORANGE,
    "rolled_back": ORANGE,
    "undo_failed": RED,
    "failed": RED,
    "unverified": GREY,
}


def remediation() -> Board:
    """Incidents from notice to outcome, and the track record of the playbooks."""
    return Board(
        uid=UID,
        title="Grace / Remediation",
        description="What Grace did, how it ended, and what waits for people.",
        since="now-6h",
        annotations=(marks.runs(), marks.handled(), marks.wanted()),
        rows=(
            Row("Now", _now()),
            Row("Incidents", _incidents()),
            Row("Runs", _runs()),
            Row("Approvals", _approvals()),
        ),
    )


def _now() -> list[Panel]:
    return [
        number(
            About("In Grace's hands", "Incidents that Grace is working on; nobody is called for these.", 5, 5),
            [Query(total("grace_remediator_handling", INCIDENT), "handled")],
            units.COUNT,
            steps={1: BLUE},
            trend=True,
        ),
        number(
            About("A person is wanted", "Incidents that Grace gave to people.", 5, 5),
            [Query(total("grace_remediator_escalations", INCIDENT), "wanted")],
            units.COUNT,
            steps={1: RED},
            trend=True,
        ),
        number(
            About(
                "Runs at work",
                "Executions that have a target to themselves now: acting, verifying, or undoing.",
                5,
                5,
            ),
            [Query(total(_AT_WORK, _RUN), "running")],
            units.COUNT,
            steps={1: BLUE},
            trend=True,
        ),
        number(
            About(
                "Healed, of all verified",
                "Runs after which the metric was good again, of all runs that were verified by their metric or that "
                "failed, over everything in the ledger.",
                5,
                5,
                empty="No verified run yet",
            ),
            [
                Query(
                    f"sum({once(_HEALED, _RUN)}) / sum({once(_VERIFIED, _RUN)})",
                    "healed",
                )
            ],
            units.RATIO,
        ),
        number(
            About("Approvals pending", "Plans that wait for people to allow them.", 4, 5),
            [Query(pending(), "pending")],
            units.COUNT,
            steps={1: ORANGE},
            trend=True,
        ),
    ]


def _incidents() -> list[Panel]:
    return [
        lines(
            About(
                "Open incidents by state",
                "Blind: the alert went away without fresh good measurements. Contained: held down, waiting for a "
                "person to release. Suspended: silenced in Alertmanager.",
                12,
                9,
                empty="No open incident",
            ),
            [Query(most("grace_remediator_incidents", "state"), "{{state}}")],
            units.COUNT,
            stacked=True,
            colors={"escalated": RED, "blind": ORANGE, "waiting_approval": ORANGE, "contained": BLUE},
        ),
        states(
            About(
                "Who is at it",
                "Incidents over time: in Grace's hands, or a person is wanted.",
                12,
                9,
                empty="No incident in this time",
            ),
            [Query(who(), "{{metric_id}} · {{resource}}")],
            {"1": ("Grace is at it", BLUE), "2": ("A person is wanted", RED)},
        ),
    ]


def _runs() -> list[Panel]:
    return [
        lines(
            About(
                "Runs by outcome",
                "Executions in the ledger, by how they ended; it only grows.",
                12,
                9,
                empty="No run yet",
            ),
            [Query(f"sum by (state) ({once(_ENDED, _RUN)})", "{{state}}")],
            units.COUNT,
            stacked=True,
            colors=_COLORS,
            calcs=("lastNotNull",),
        ),
        shares(
            About(
                "Track record",
                "How often each playbook ended how, over everything in the ledger.",
                12,
                9,
                empty="No run yet",
            ),
            [
                Query(
                    once(_ENDED, _RUN),
                    "{{playbook}} {{state}}",
                    now=True,
                )
            ],
            units.COUNT,
            _COLORS,
        ),
        rows(
            About(
                "At work now",
                "Playbooks that are acting, being verified, or being undone.",
                24,
                6,
                empty="No run is at work",
            ),
            [
                Query(
                    f"{once(_AT_WORK, _RUN)} > 0",
                    "",
                    now=True,
                )
            ],
            {"playbook": "Playbook", "state": "State", "Value": "Runs"},
        ),
    ]


def _approvals() -> list[Panel]:
    return [
        lines(
            About("Approvals pending over time", "How many plans waited for people.", 12, 8),
            [Query(pending(), "pending")],
            units.COUNT,
        ),
        lines(
            About(
                "Age of the oldest approval",
                "How long the oldest pending approval has been waiting. It expires unanswered (after 30 minutes, "
                "unless governance.yml says otherwise).",
                12,
                8,
                empty="Nothing waits for approval",
            ),
            [
                Query(
                    "time() - min(min_over_time(grace_remediator_oldest_approval_timestamp_seconds[$__interval]))",
                    "oldest",
                )
            ],
            units.SECONDS,
        ),
    ]
