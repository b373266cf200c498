"""What Grace did: incidents, runs and their outcomes, approvals."""

from __future__ import annotations

from grafana import units
from grafana.boards import marks
from grafana.boards.frame import Board, Row
from grafana.boards.ledger import ACTIVE, INCIDENT, buckets, most, once, pending, total, who
from grafana.boards.panels import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    About,
    Panel,
    Query,
    Style,
    heat,
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
            Row("Governance", _governance()),
            Row("Incidents", _incidents()),
            Row("How fast", _times()),
            Row("Decisions", _decisions()),
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


def _governance() -> list[Panel]:
    no_yes = {"0": ("No", GREEN), "1": ("Yes", ORANGE)}
    return [
        number(
            About("Ceiling", "The highest tier of playbooks that runs alone; above it people are asked.", 4, 4),
            [Query("max(grace_remediator_ceiling_tier)", "ceiling")],
            "prefix:tier_",
        ),
        number(
            About(
                "Strictness",
                "0 to 3: each level raises the confidence that is needed and lengthens cooldowns.",
                4,
                4,
            ),
            [Query("max(grace_remediator_strictness)", "strictness")],
            units.COUNT,
            steps={1: ORANGE},
        ),
        *(
            number(About(title, text, 4, 4), [Query(f"max(grace_remediator_{name})", name)], units.COUNT, words=no_yes)
            for title, name, text in (
                ("Locked", "supervised", "While locked every change waits for a person."),
                ("Frozen", "frozen", "While frozen nothing new starts."),
                ("Storm", "storm", "In a storm (much is wrong at once) every change is held."),
                ("Shadow", "shadow", "In shadow plans are judged and recorded, not carried out."),
            )
        ),
    ]


def _times() -> list[Panel]:
    return [
        heat(
            About(title, f"{text} The darker, the more often.", 6, 9, empty="Nothing in this time"),
            [Query(buckets(f"grace_remediator_{name}_seconds"), "{{le}}", buckets=True)],
            units.SECONDS,
        )
        for title, name, text in (
            ("Time to detect", "detect", "From the beginning of an alert to its incident."),
            ("Time to decide", "decide", "From an incident to its first plan that was let through or held."),
            ("Time to act", "act", "From a plan to the end of its last step, waiting for people included."),
            ("Time to heal", "heal", "From an incident to its verified heal."),
        )
    ]


def _decisions() -> list[Panel]:
    rate = "sum by ({by}) (max by (verdict, reason) (increase(grace_remediator_decisions_total[$__rate_interval])))"
    return [
        lines(
            About(
                "Verdicts",
                "What governance answered: allow, hold or deny. A verdict counts once for each of its reasons.",
                8,
                9,
                empty="Nothing was decided in this time",
            ),
            [Query(rate.format(by="verdict"), "{{verdict}}")],
            units.COUNT,
            stacked=True,
            colors={"allow": GREEN, "hold": ORANGE, "deny": RED},
        ),
        shares(
            About(
                "Reasons",
                "Why, since the remediator started. `docs/reference/governance.md` says what each reason means.",
                8,
                9,
                empty="Nothing was decided yet",
            ),
            [
                Query(
                    f"{once('grace_remediator_decisions_total', 'verdict, reason')} > 0",
                    "{{verdict}}: {{reason}}",
                    now=True,
                )
            ],
            units.COUNT,
            {"^allow": GREEN, "^hold": ORANGE, "^deny": RED},
        ),
        heat(
            About(
                "Confidence",
                "The confidence of plans that were let through or held: the share of the evidence in the band, times "
                "how often the playbook helped before.",
                8,
                9,
                empty="Nothing was decided in this time",
            ),
            [Query(buckets("grace_remediator_confidence"), "{{le}}", buckets=True)],
            units.RATIO,
        ),
        lines(
            About(
                "Runs in the last hour",
                "How many runs began, and above how many plans are held: on one target, and over all.",
                12,
                8,
                empty="No run",
            ),
            [
                Query(most("grace_remediator_runs_last_hour", "target"), "{{target}}"),
                Query(f"sum({once('grace_remediator_runs_last_hour', 'target')}) or vector(0)", "all targets"),
                Query(
                    f"label_replace({once('grace_remediator_runs_limit', 'scope')},"
                    ' "scope", "one target", "scope", "target")',
                    "limit, {{scope}}",
                    Style.EDGE,
                ),
            ],
            units.COUNT,
        ),
        lines(
            About(
                "Strikes",
                "Runs that did not help an open incident. At the limit a person is wanted and no more runs start.",
                12,
                8,
                empty="No strike",
            ),
            [
                Query(
                    f"{most('grace_remediator_strikes', INCIDENT)}",
                    "{{metric_id}} · {{resource}}",
                ),
                Query("max(grace_remediator_strikes_limit)", "limit", Style.EDGE),
            ],
            units.COUNT,
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
                "Runs that are acting, being verified, or being undone.",
                24,
                6,
                empty="No run is at work",
            ),
            [
                Query(
                    once("grace_remediator_run_active", "playbook, target, state, metric_id, resource"),
                    "",
                    now=True,
                )
            ],
            {
                "playbook": "Playbook",
                "target": "Target",
                "state": "State",
                "metric_id": "Metric",
                "resource": "Resource",
                "Value": "Runs",
            },
        ),
    ]


def _approvals() -> list[Panel]:
    return [
        lines(
            About("Approvals pending over time", "How many plans waited for people.", 8, 8),
            [Query(pending(), "pending")],
            units.COUNT,
        ),
        lines(
            About(
                "Age of the oldest approval",
                "How long the oldest pending approval has been waiting. It expires unanswered (after 30 minutes, "
                "unless governance.yml says otherwise).",
                8,
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
        heat(
            About(
                "How long approvals waited",
                "From when people were asked until they answered, or the approval expired. The darker, the more often.",
                8,
                8,
                empty="Nobody was asked in this time",
            ),
            [Query(buckets("grace_remediator_approval_wait_seconds"), "{{le}}", buckets=True)],
            units.SECONDS,
        ),
    ]
