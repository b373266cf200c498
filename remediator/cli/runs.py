"""`grace runs`, `grace run` and `grace undo`: what was done, doing it by hand, giving it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from remediator.cli.client import NOT_RIGHT, DefaultGroup, Remediator, with_remediator
from remediator.cli.output import moment, print_fields, print_json, print_table, shown

NAMED = 3
"""Of a list of files, how many are named."""


@click.group(cls=DefaultGroup, default="list")
def runs() -> None:
    """List runs; show, cancel or release one.

    \b
    Examples:
      grace runs                          the newest ones
      grace runs show run_01k             its plan, steps and verdict
      grace runs cancel run_01k           stop it after its current step
      grace runs release run_01k --reason "sources are clean again"
    """


@runs.command("list")
@click.option("--state", help="Only those in this state (running, held, healed, failed, …).")
@click.option("--all", "everything", is_flag=True, help="Also plans that never began: held, refused, expired.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@with_remediator
def list_(remediator: Remediator, as_json: bool, state: str | None, everything: bool, limit: int) -> None:
    """List runs, newest first."""
    found = list(remediator.items("runs", limit=limit, state=state, all="true" if everything else None))
    if as_json:
        print_json({"items": found})
        return
    print_table(
        ("id", "playbook", "target", "state", "verdict", "confidence", "incident"),
        (
            (r["id"], r["playbook_id"], r["target"], r["state"], r["verdict"], r["confidence"], r["incident_id"])
            for r in found
        ),
        empty="no runs" if state is None else f"no runs in state {state}",
    )


@runs.command()
@click.argument("run_id", metavar="ID")
@with_remediator
def show(remediator: Remediator, as_json: bool, run_id: str) -> None:
    """Show one run: the plan, the verdict with its reasons, every step."""
    _print_result(remediator.get("runs", run_id), as_json)


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--reason", default="", help="Why, for the record.")
@with_remediator
def cancel(remediator: Remediator, as_json: bool, run_id: str, reason: str) -> None:
    """Cancel a run: its current step ends, no other begins."""
    _print_result(remediator.act("runs", run_id, "cancel", reason), as_json)


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--reason", required=True, help="Why, for the record.")
@with_remediator
def release(remediator: Remediator, as_json: bool, run_id: str, reason: str) -> None:
    """Give back, step by step, what a run changed and still keeps (a containment, a scaled pool)."""
    _print_result(remediator.act("runs", run_id, "release", reason), as_json)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", default="", help="Why, for the record.")
@with_remediator
def undo(remediator: Remediator, as_json: bool, run_id: str, reason: str) -> None:
    """Take back what a run changed, and nothing else's changes.

    \b
    Example:
      grace undo run_01k --reason "capacity is needed elsewhere"
    """
    _print_result(remediator.act("runs", run_id, "undo", reason), as_json)


@click.command()
@click.argument("playbook")
@click.option("--target", required=True, help="Name of a target of the inventory.")
@click.option("--dry-run", is_flag=True, help="Plan and judge it, touch nothing.")
@click.option("--reason", default="", help="Why, for the record.")
@with_remediator
def run(remediator: Remediator, as_json: bool, playbook: str, target: str, dry_run: bool, reason: str) -> None:
    """Run a playbook by hand, under the same governance as everything else.

    Exits 1 when governance denies it.

    \b
    Examples:
      grace run scale-workers --target workers --dry-run
      grace run restart-workers --target api
    """
    asked = {"playbook": playbook, "target": target, "dry_run": dry_run, "reason": reason}
    made = remediator.ask("POST", "runs", asked)
    _print_result(made, as_json)
    if not as_json:
        click.echo(_what_follows(made, dry_run))
    if made.get("verdict") == "deny":
        raise SystemExit(NOT_RIGHT)


def _what_follows(made: Mapping[str, Any], dry_run: bool) -> str:
    """What becomes of a run by hand, or would, in one sentence."""
    needed = made.get("approvals_needed")
    if dry_run:
        would = {
            "allow": "it would run at once",
            "hold": f"it would wait for {needed} approval{'' if needed == 1 else 's'}",
        }
        return f"Nothing was touched: {would.get(str(made.get('verdict')), 'it would be refused')}."
    if made.get("state") == "held":
        return "It waits for approval: grace approvals list"
    return f"It runs: grace runs show {made.get('id')}"


def _print_result(found: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        _print_run(found)


def _print_run(found: Mapping[str, Any]) -> None:
    print_fields(
        [
            ("run", found.get("id")),
            ("incident", found.get("incident_id")),
            ("playbook", found.get("playbook_id")),
            ("target", found.get("target")),
            ("tier", found.get("tier")),
            ("state", found.get("state")),
            ("outcome", found.get("outcome")),
            ("why", found.get("reason")),
            ("verdict", found.get("verdict")),
            ("reasons", found.get("reasons")),
            ("because", list((found.get("detail") or {}).values())),
            ("approvals", found.get("approvals_needed")),
            ("confidence", found.get("confidence")),
            ("evidence", found.get("evidence")),
            ("asked for by", found.get("by")),
            ("planned", moment(found["created_at"]) if found.get("created_at") else None),
            ("ended", moment(found["ended_at"]) if found.get("ended_at") else None),
        ]
    )
    for index, step in enumerate(found.get("steps") or ()):
        click.echo(f"  {index + 1}. {step_line(step)}")


def step_line(step: Mapping[str, Any]) -> str:
    """One step, planned or journaled, on one line: of what was observed, what the step changes."""
    before, desired = step.get("before") or {}, step.get("desired") or {}
    changed = "; ".join(_change(name, before, wanted) for name, wanted in desired.items())
    state = f" [{shown(step['state'])}]" if step.get("state") else ""
    failed = f": {shown(step['error'])}" if step.get("error") else ""
    return (
        f"{shown(step.get('verb'))} {shown(step.get('target'))} ({shown(step.get('driver'))}): {changed}{state}{failed}"
    )


def _change(name: str, before: Mapping[str, Any], wanted: Any) -> str:
    if name == "younger_than":
        return f"all begun after {moment(wanted)}"
    if isinstance(wanted, list):
        names = [shown(each.get("name", each) if isinstance(each, Mapping) else each) for each in wanted]
        more = ", …" if len(names) > NAMED else ""
        return f"{shown(name)}: {len(names)} ({', '.join(names[:NAMED])}{more})"
    was = before.get(name)
    if isinstance(wanted, Mapping) and isinstance(was, Mapping):
        was = {key: value for key, value in was.items() if key in wanted}
    if was == wanted:
        return f"{shown(name)}: {shown(wanted)}"
    return f"{shown(name)}: {shown(was)} → {shown(wanted)}"
