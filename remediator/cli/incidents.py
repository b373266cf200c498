"""`grace incidents`: what is wrong, what was done about it, and the word of a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from remediator.cli.client import DefaultGroup, Remediator, with_remediator
from remediator.cli.output import moment, print_fields, print_json, print_table
from remediator.story import timeline


@click.group(cls=DefaultGroup, default="list")
def incidents() -> None:
    """List incidents, tell the story of one, acknowledge or close it.

    \b
    Examples:
      grace incidents                            the newest ones
      grace incidents list --state escalated     those that want a person
      grace incidents show inc_01k               the whole story of one
      grace incidents close inc_01k --reason "known maintenance"
    """


@incidents.command("list")
@click.option("--state", help="Only those in this state (open, acting, escalated, closed, …).")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@with_remediator
def list_(remediator: Remediator, as_json: bool, state: str | None, limit: int) -> None:
    """List incidents, newest first."""
    found = list(remediator.items("incidents", limit=limit, state=state))
    if as_json:
        print_json({"items": found})
        return
    print_table(
        ("id", "opened", "metric", "resource", "band", "state", "outcome"),
        (
            (i["id"], moment(i["opened_at"]), i["metric_id"], i["resource"], i["band"], i["state"], i["outcome"])
            for i in found
        ),
        empty="no incidents" if state is None else f"no incidents in state {state}",
    )


@incidents.command()
@click.argument("incident_id", metavar="ID")
@with_remediator
def show(remediator: Remediator, as_json: bool, incident_id: str) -> None:
    """Tell the whole story of one incident, from its audit entries."""
    incident = remediator.get("incidents", incident_id)
    if as_json:
        print_json(incident)
        return
    _print_incident(incident)
    click.echo()
    for line in timeline(incident.get("timeline") or ()):
        click.echo(line)


@incidents.command()
@click.argument("incident_id", metavar="ID")
@click.option("--reason", default="", help="Why, for the record.")
@with_remediator
def ack(remediator: Remediator, as_json: bool, incident_id: str, reason: str) -> None:
    """Say that a person has it."""
    _print_result(remediator.act("incidents", incident_id, "ack", reason), as_json)


@incidents.command()
@click.argument("incident_id", metavar="ID")
@click.option("--reason", required=True, help="Why, for the record.")
@with_remediator
def close(remediator: Remediator, as_json: bool, incident_id: str, reason: str) -> None:
    """Close an incident by a person's word; it opens again if its alert is raised again."""
    _print_result(remediator.act("incidents", incident_id, "close", reason), as_json)


def _print_result(incident: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(incident)
    else:
        _print_incident(incident)


def _print_incident(incident: Mapping[str, Any]) -> None:
    runs = incident.get("runs") or ()
    print_fields(
        [
            ("incident", incident["id"]),
            ("metric", incident["metric_id"]),
            ("resource", incident["resource"]),
            ("band", incident["band"]),
            ("state", incident["state"]),
            ("outcome", incident.get("outcome")),
            ("why", incident.get("reason")),
            ("target", incident.get("target")),
            ("opened", moment(incident["opened_at"])),
            ("closed", moment(incident["closed_at"]) if incident.get("closed_at") else None),
            ("verdict", incident.get("verdict")),
            ("reasons", incident.get("reasons")),
            ("evidence", incident.get("evidence")),
            ("runs", [f"{run['id']} {run['playbook_id']} {run['state']}" for run in runs]),
        ]
    )
