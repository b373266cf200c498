"""`grace approvals`: the plans that wait for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from remediator.cli.client import DefaultGroup, Remediator, with_remediator
from remediator.cli.output import moment, print_fields, print_json, print_table
from remediator.cli.runs import step_line


@click.group(cls=DefaultGroup, default="list")
def approvals() -> None:
    """List the plans that wait for people; show, approve or reject one.

    Several approvals must come from several people, each with a token of their own (`grace tokens add`).

    \b
    Examples:
      grace approvals                                        what waits now
      grace approvals show apr_01k                           the exact plan
      grace approvals approve apr_01k --reason "seen the graphs" --as ada
      grace approvals reject apr_01k --reason "deploy in progress"
    """


@approvals.command("list")
@click.option(
    "--state", default="pending", show_default=True, help="pending, approved, rejected, expired, void or all."
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@with_remediator
def list_(remediator: Remediator, as_json: bool, state: str, limit: int) -> None:
    """List approvals, newest first; those that wait, unless told otherwise."""
    wanted = None if state == "all" else state
    found = list(remediator.items("approvals", limit=limit, state=wanted))
    if as_json:
        print_json({"items": found})
        return
    print_table(
        ("id", "playbook", "target", "tier", "status", "given", "expires"),
        (
            (
                a["id"],
                a.get("playbook_id"),
                a.get("target"),
                a["tier"],
                a["status"],
                f"{a['given']} of {a['needed']}",
                moment(a["expires_at"]),
            )
            for a in found
        ),
        empty="nothing waits for approval" if state == "pending" else "no approvals",
    )


@approvals.command()
@click.argument("approval_id", metavar="ID")
@with_remediator
def show(remediator: Remediator, as_json: bool, approval_id: str) -> None:
    """Show the exact plan that an approval is bound to, and who has said what."""
    _print_result(remediator.get("approvals", approval_id), as_json)


@approvals.command()
@click.argument("approval_id", metavar="ID")
@click.option("--reason", required=True, help="Why, for the record.")
@with_remediator
def approve(remediator: Remediator, as_json: bool, approval_id: str, reason: str) -> None:
    """Approve exactly this plan; it runs once enough people have, if the world is still as planned."""
    _print_result(remediator.act("approvals", approval_id, "approve", reason), as_json)


@approvals.command()
@click.argument("approval_id", metavar="ID")
@click.option("--reason", required=True, help="Why, for the record.")
@with_remediator
def reject(remediator: Remediator, as_json: bool, approval_id: str, reason: str) -> None:
    """Reject this plan; the next candidate is planned, or a person is told."""
    _print_result(remediator.act("approvals", approval_id, "reject", reason), as_json)


def _print_result(approval: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(approval)
        return
    print_fields(
        [
            ("approval", approval["id"]),
            ("status", approval["status"]),
            ("given", f"{approval['given']} of {approval['needed']}"),
            ("tier", approval["tier"]),
            ("expires", moment(approval["expires_at"])),
            ("why", approval.get("reason")),
            ("run", approval.get("run_id")),
            ("incident", approval.get("incident_id")),
            ("playbook", approval.get("playbook_id")),
            ("target", approval.get("target")),
            ("reasons", approval.get("reasons")),
            ("confidence", approval.get("confidence")),
            ("plan", approval.get("plan_digest")),
            ("votes", [f"{vote['name']}: {vote['vote']} ({vote['reason']})" for vote in approval.get("votes") or ()]),
        ]
    )
    for index, step in enumerate(approval.get("plan") or ()):
        click.echo(f"  {index + 1}. {step_line(step)}")
