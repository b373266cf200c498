"""`grace governance` and `grace hold`: what may be done without asking, and what may not be touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from catalog.model import Tier, parse_duration
from remediator.cli.client import DefaultGroup, Remediator, with_remediator
from remediator.cli.output import moment, print_fields, print_json, shown

reason_option = click.option("--reason", required=True, help="Why, for the record.")
reason_if_any = click.option("--reason", default="asked for on the command line", help="Why, for the record.")


@click.group(cls=DefaultGroup, default="show")
def governance() -> None:
    """Show or change what Grace may do without asking.

    An operator may tighten; only an admin loosens.

    \b
    Examples:
      grace governance                                   the settings now
      grace governance freeze --reason "incident call"   nothing new starts
      grace governance set-ceiling tier_3 --reason "trusted since May"
      grace governance release --reason "reviewed"       ends supervision
    """


@governance.command()
@with_remediator
def show(remediator: Remediator, as_json: bool) -> None:
    """Show ceiling, strictness, lock, freeze and holds."""
    _print_result(remediator.ask("GET", "governance"), as_json)


@governance.command("set-ceiling")
@click.argument("tier", metavar="TIER", type=click.Choice([str(tier) for tier in Tier]))
@reason_option
@with_remediator
def set_ceiling(remediator: Remediator, as_json: bool, tier: str, reason: str) -> None:
    """Set the highest tier (tier_1 to tier_4) that may be allowed at all without one approval more."""
    _change(remediator, as_json, reason, ceiling=tier)


@governance.command()
@click.argument("level", metavar="N", type=click.IntRange(0, 3))
@reason_option
@with_remediator
def strictness(remediator: Remediator, as_json: bool, level: int, reason: str) -> None:
    """Set the strictness, 0 to 3: a higher confidence floor, longer cooldowns, from 2 on no high risk."""
    _change(remediator, as_json, reason, strictness=level)


@governance.command()
@reason_if_any
@with_remediator
def supervise(remediator: Remediator, as_json: bool, reason: str) -> None:
    """Hold every change for a person until released."""
    _change(remediator, as_json, reason, supervised=True)


@governance.command()
@reason_if_any
@with_remediator
def release(remediator: Remediator, as_json: bool, reason: str) -> None:
    """End supervision: changes are judged by the rules alone again."""
    _change(remediator, as_json, reason, supervised=False)


@governance.command()
@reason_if_any
@with_remediator
def freeze(remediator: Remediator, as_json: bool, reason: str) -> None:
    """Let nothing new start, not even the next step of a run."""
    _change(remediator, as_json, reason, frozen=True)


@governance.command()
@reason_if_any
@with_remediator
def unfreeze(remediator: Remediator, as_json: bool, reason: str) -> None:
    """Let runs start again."""
    _change(remediator, as_json, reason, frozen=False)


@governance.command()
@reason_option
@with_remediator
def confirm(remediator: Remediator, as_json: bool, reason: str) -> None:
    """Put a changed governance file in force that loosens something; until then the stricter of both counts."""
    _print_result(remediator.ask("POST", "governance/confirm", {"reason": reason}), as_json)


def _seconds(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.argument("target")
@click.option("--for", "seconds", metavar="DURATION", callback=_seconds, help="How long, such as 30m or 1h.")
@click.option("--reason", default="", help="Why, for the record; needed to hold.")
@click.option("--off", is_flag=True, help="End the hold.")
@with_remediator
def hold(remediator: Remediator, as_json: bool, target: str, seconds: float | None, reason: str, off: bool) -> None:
    """Keep Grace's hands off a target for a while.

    \b
    Examples:
      grace hold api --for 1h --reason "deploy"
      grace hold api --off
    """
    path = f"holds/{quote(target, safe='')}"
    if off:
        if seconds is not None:
            raise click.UsageError("--off ends a hold; --for begins one")
        answer = remediator.ask("DELETE", path, {"reason": reason} if reason else None)
        done = f"{target} is no longer held"
    else:
        if not seconds or not reason:
            raise click.UsageError("to hold a target say for how long and why: --for 1h --reason TEXT")
        answer = remediator.ask("PUT", path, {"seconds": seconds, "reason": reason})
        until = next(moment(held["until"]) for held in answer["holds"] if held["target"] == target)
        done = f"{target} is held until {until}"
    if as_json:
        print_json(answer)
    else:
        click.echo(shown(done))


def _change(remediator: Remediator, as_json: bool, reason: str, **changes: Any) -> None:
    _print_result(remediator.ask("PUT", "governance", {**changes, "reason": reason}), as_json)


def _print_result(settings: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(settings)
        return
    print_fields(
        [
            ("ceiling", settings["ceiling"]),
            ("strictness", settings["strictness"]),
            ("supervised", settings["supervised"]),
            ("frozen", settings["frozen"]),
        ]
    )
    if settings.get("pending"):
        names = ", ".join(map(shown, settings["pending"]))
        click.echo(f"pending     the changed file loosens {names}: grace governance confirm --reason TEXT")
    for held in settings.get("holds") or ():
        reason, by = shown(held.get("reason")), shown(held.get("by"))
        click.echo(f"hold        {shown(held['target'])} until {moment(held['until'])} by {by}: {reason}")
