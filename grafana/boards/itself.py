"""Grace itself: whether it measures in time, evaluates in time, takes alerts, writes its ledger, keeps its record."""

from __future__ import annotations

from grafana import units
from grafana.boards import marks
from grafana.boards.frame import Board, Choice, Row
from grafana.boards.panels import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    About,
    Panel,
    Query,
    lines,
    number,
    states,
)

UID = "grace-itself"
_JOB = '{job=~"$job"}'
_GROUPS = '{rule_group=~".*;grace[.].*"}'
_GROUP = "{{group}}"


def itself() -> Board:
    """Grace as something that is watched too."""
    return Board(
        uid=UID,
        title="Grace / Itself",
        description="Grace's own health: scrapes and collections, rule groups, alerts taken in, ledger, audit log.",
        choices=(
            Choice(
                "job",
                "Job",
                "The scrape jobs of the exporter and the remediator.",
                'label_values({__name__=~"grace_exporter_build_info|grace_remediator_ledger_writable"}, job)',
            ),
        ),
        annotations=(marks.runs(),),
        rows=(
            Row("Is it well?", _health()),
            Row("Measuring", _measuring()),
            Row("Evaluating", _evaluating()),
            Row("Taking alerts and keeping the record", _record()),
            Row("Processes", _processes()),
        ),
    )


def _health() -> list[Panel]:
    yes_no = {"0": ("No", RED), "1": ("Yes", GREEN)}
    return [
        number(
            About("Up", "Whether Prometheus reaches the exporter and the remediator.", 6, 4),
            [Query(f"min by (job) (up{_JOB})", "{{job}}")],
            units.COUNT,
            words={"0": ("Down", RED), "1": ("Up", GREEN)},
            named=True,
        ),
        number(
            About(
                "Ledger writable",
                "Whether the last write to the ledger succeeded. Without it nothing is done: no record, no action.",
                6,
                4,
            ),
            [Query("min(grace_remediator_ledger_writable)", "writable")],
            units.COUNT,
            words=yes_no,
        ),
        number(
            About(
                "Audit log whole",
                "Whether the chain of entries verified at the last check (at the start and every hour). "
                "`grace audit verify` names the first entry that is wrong.",
                6,
                4,
            ),
            [Query("min(grace_remediator_audit_ok)", "whole")],
            units.COUNT,
            words=yes_no,
        ),
        number(
            About(
                "Entries without an anchor",
                "Audit entries after the newest signed checkpoint: what could be cut off unnoticed. A checkpoint is "
                "made before every effect, and every 60 s or 100 entries.",
                6,
                4,
            ),
            [
                Query(
                    "max(grace_remediator_audit_entries) - max(grace_remediator_audit_anchored_entries)",
                    "not anchored",
                )
            ],
            units.COUNT,
            steps={100: ORANGE, 200: RED},
            trend=True,
        ),
    ]


def _measuring() -> list[Panel]:
    return [
        states(
            About(
                "Collectors",
                "Whether each collector's last collection succeeded. One that fails delays no other.",
                12,
                8,
            ),
            [
                Query(
                    "min by (collector) "
                    "(min_over_time(grace_collector_success[$__interval]) or grace_collector_success)",
                    "{{collector}}",
                )
            ],
            {"0": ("Failing", RED), "1": ("Collecting", GREEN)},
        ),
        lines(
            About(
                "Age of the last good collection",
                "How long ago each collector last succeeded. Measurements older than their interval allows are "
                "withdrawn, and their metric goes stale.",
                12,
                8,
            ),
            [
                Query(
                    "time() - max by (collector) (grace_collector_last_success_timestamp_seconds)",
                    "{{collector}}",
                )
            ],
            units.SECONDS,
        ),
        lines(
            About("Collection time", "How long each collector's last collection took.", 8, 8),
            [Query("max by (collector) (grace_collector_duration_seconds)", "{{collector}}")],
            units.SECONDS,
        ),
        lines(
            About("Scrape time", "How long Prometheus' scrapes of Grace took.", 8, 8),
            [Query(f"max by (job) (scrape_duration_seconds{_JOB})", "{{job}}")],
            units.SECONDS,
        ),
        lines(
            About(
                "Series",
                "How many series each scrape brings, and how many the exporter refused because there were too many.",
                8,
                8,
            ),
            [
                Query(f"sum by (job) (scrape_samples_scraped{_JOB})", "{{job}}"),
                Query("sum(increase(grace_collector_series_dropped_total[$__rate_interval]))", "refused"),
            ],
            units.COUNT,
            colors={"refused": RED},
        ),
    ]


def _evaluating() -> list[Panel]:
    return [
        lines(
            About(
                "Evaluation time of its interval",
                "How much of its interval each rule group needs. A group that needs all of it skips evaluations, and "
                "with them measurements.",
                12,
                9,
            ),
            [
                Query(
                    _short_group(
                        f"max by (rule_group) (prometheus_rule_group_last_duration_seconds{_GROUPS}"
                        f" / prometheus_rule_group_interval_seconds{_GROUPS})"
                    ),
                    _GROUP,
                )
            ],
            units.RATIO,
        ),
        lines(
            About(
                "Evaluations missed or failed",
                "Evaluations that Prometheus skipped, and rules that failed, by group. Both should be none.",
                12,
                9,
            ),
            [
                Query(
                    _short_group(
                        "sum by (rule_group) "
                        f"(increase(prometheus_rule_group_iterations_missed_total{_GROUPS}[$__rate_interval]))"
                    ),
                    "{{group}} missed",
                ),
                Query(
                    _short_group(
                        "sum by (rule_group) "
                        f"(increase(prometheus_rule_evaluation_failures_total{_GROUPS}[$__rate_interval]))"
                    ),
                    "{{group}} failed",
                ),
            ],
            units.COUNT,
        ),
    ]


def _record() -> list[Panel]:
    taken = (
        ("accepted", "alerts_accepted"),
        ("known before", "alerts_deduplicated"),
        ("refused", "payloads_quarantined"),
    )
    return [
        lines(
            About(
                "Alerts taken in",
                "Alerts stored durably, alerts that had been stored before (re-sends change nothing), and payloads "
                "that were not Alertmanager's.",
                8,
                8,
            ),
            [Query(f"sum(rate(grace_remediator_{name}_total[$__rate_interval]))", word) for word, name in taken],
            units.PER_SECOND,
            colors={"refused": RED},
        ),
        lines(
            About(
                "Alerts waiting",
                "Alerts that are stored and not yet applied to an incident. It should go back to none within seconds.",
                8,
                8,
            ),
            [Query("max(max_over_time(grace_remediator_alerts_waiting[$__interval]))", "waiting")],
            units.COUNT,
        ),
        lines(
            About(
                "Audit log",
                "Entries in the audit log, and how many of them the newest signed checkpoint covers. It only grows.",
                8,
                8,
            ),
            [
                Query("max(grace_remediator_audit_entries)", "entries"),
                Query("max(grace_remediator_audit_anchored_entries)", "anchored"),
            ],
            units.COUNT,
            colors={"entries": BLUE, "anchored": GREEN},
        ),
    ]


def _processes() -> list[Panel]:
    return [
        lines(
            About("CPU", "Processor time used, in cores.", 8, 8),
            [Query(f"sum by (job) (rate(process_cpu_seconds_total{_JOB}[$__rate_interval]))", "{{job}}")],
            units.COUNT,
        ),
        lines(
            About("Memory", "Resident memory.", 8, 8),
            [Query(f"sum by (job) (process_resident_memory_bytes{_JOB})", "{{job}}")],
            units.BYTES,
        ),
        lines(
            About("Open files", "Open file descriptors, of what is allowed.", 8, 8),
            [Query(f"max by (job) (process_open_fds{_JOB} / process_max_fds{_JOB})", "{{job}}")],
            units.RATIO,
        ),
    ]


def _short_group(expression: str) -> str:
    """The group's name without its file's."""
    return f'label_replace({expression}, "group", "$1", "rule_group", ".*;(.*)")'
