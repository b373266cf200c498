"""Which promise is tried for which driver, told by the rigs: `python -m tests.contract.drivers.coverage`."""

from __future__ import annotations

from collections.abc import Mapping

from catalog.model import Verb
from remediator.drivers import DRIVERS
from tests.contract.drivers.conftest import RIGS
from tests.contract.drivers.rigs.base import Rig

FOR_ALL = ("observe", "do", "do twice", "crash between do and record", "refused permission")
"""The suite tries these on every rig as it is."""
BY_THE_RIG = {"timeout": "hanging", "garbage answer": "garbled"}
"""These need something of the rig."""
ABSENT: Mapping[tuple[str, str], str] = {
    ("files", "timeout"): "a folder is read by the kernel alone",
    ("governance", "timeout"): "the ledger bounds its own transactions",
    ("postmortem", "timeout"): "the ledger bounds its own transactions, and Prometheus' client its queries",
    ("notify", "timeout"): "a file is written by the kernel alone; addresses: test_notify_channels",
    ("governance", "garbage answer"): "it answers in our own types",
    ("postmortem", "garbage answer"): "it answers in our own types",
    ("notify", "garbage answer"): "a torn line: test_hazards; addresses: test_notify_channels",
    ("command", "undo"): "what a job did stays",
    ("files", "undo"): "deleted is deleted",
    ("governance", "undo"): "only a person loosens",
    ("postmortem", "undo"): "a report stays",
    ("notify", "undo"): "what people have read, they have read",
}
"""What a driver cannot be tried for, or need not be prepared for, and why."""
CREDENTIALS: Mapping[str, str] = {
    "celery": "test_celery_hazards.py::test_a_password_that_expires_in_the_middle",
    "http": "test_http_hazards.py::test_one_that_expires_in_the_middle_is_refused_and_the_next_is_taken_up",
    "kubernetes": "test_kubernetes_hazards.py::test_a_credential_that_expires_is_read_anew",
    "notify": "test_notify_channels.py::test_an_address_that_expires_in_the_middle",
    "sql": "test_postgres_hazards.py::test_a_password_that_expires_in_the_middle",
}
"""Drivers whose configuration names a credential, and the test in which it expires between a look and a deed."""
HALF_DONE: Mapping[str, str] = {
    "ansible": "test_ansible_hazards.py::test_a_playbook_that_ends_well_and_does_nothing_is_noticed",
    "celery": "test_celery_hazards.py::test_growth_that_never_shows_is_asked_for_once",
    "command": "test_hazards.py::test_a_report_of_a_job_that_failed_does_not_count",
    "compose": "test_docker_hazards.py::test_a_program_that_says_yes_and_does_nothing_is_found_out",
    "docker": "test_docker_hazards.py::test_it_dies_between_making_and_starting",
    "files": "test_hazards.py::test_a_file_replaced_or_written_to_since_the_plan_stays",
    "gunicorn": "test_hazards.py::test_a_restart_that_was_cut_off_goes_on_where_it_stopped",
    "http": "test_http_hazards.py::TestHalfSuccess",
    "kubernetes": "test_kubernetes_hazards.py::test_a_rollout_is_waited_for_by_looking",
    "notify": "test_notify_channels.py::test_who_was_told_is_not_told_again_when_another_failed",
    "sql": "test_postgres_hazards.py::test_anything_but_one_row_is_rolled_back",
    "systemd": "test_systemd_hazards.py::test_one_that_does_not_come_back_ends_the_restart",
}
"""Where the other side, or an attempt of ours, can do half of it: the test in which it does. The rest do one thing."""
_FOR_GOOD = frozenset({Verb.RESTART, Verb.RUN, Verb.RECLAIM, Verb.GOVERN, Verb.REPORT, Verb.NOTIFY})


def tried(kind: str, case: str) -> list[str]:
    """Names of the rigs by which a case of a driver is tried."""
    rigs = {name: rig for name, rig in RIGS.items() if rig.kind == kind}
    if case in FOR_ALL:
        return list(rigs)
    if case == "undo":
        return [name for name, rig in rigs.items() if rig.verb not in _FOR_GOOD]
    if case == "above the maximum":
        return [name for name, rig in rigs.items() if rig.verb is Verb.SCALE]
    method = BY_THE_RIG[case]
    return [name for name, rig in rigs.items() if getattr(rig, method) is not getattr(Rig, method)]


def holes() -> list[str]:
    """What nothing tries and nobody gave a reason for; and reasons for what is tried all the same."""
    found = []
    for kind in DRIVERS:
        for case in (*FOR_ALL, "undo", *BY_THE_RIG):
            is_tried, has_reason = bool(tried(kind, case)), (kind, case) in ABSENT
            if is_tried is has_reason:
                found.append(f"{kind}: {case} is {'tried, yet has a reason not to be' if is_tried else 'not tried'}")
    return found


def markdown() -> str:
    """The table for people."""
    cases = [*FOR_ALL, "undo", *BY_THE_RIG, "above the maximum", "credential expires", "half done"]
    rows = []
    for kind in sorted(DRIVERS):
        by_name = {"credential expires": int(kind in CREDENTIALS), "half done": int(kind in HALF_DONE)}
        counts = [by_name[case] if case in by_name else len(tried(kind, case)) for case in cases]
        rows.append(f"| {kind} | " + " | ".join(str(count or "–") for count in counts) + " |")
    return "\n".join([f"| driver | {' | '.join(cases)} |", "|---" * (len(cases) + 1) + "|", *rows])


if __name__ == "__main__":
    print(markdown())
