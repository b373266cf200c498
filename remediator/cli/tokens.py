"""`grace tokens`: who may ask the remediator for what."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import click

from remediator.auth.tokens import Role, is_name
from remediator.cli.client import DefaultGroup, Failure, Remediator, with_remediator
from remediator.cli.output import moment, print_json, print_table, shown


@click.group(cls=DefaultGroup, default="list")
def tokens() -> None:
    """List, add or revoke the tokens of people and programs.

    \b
    Roles, each including those before it: viewer, approver, operator, admin. `alertmanager` may only post alerts.

    \b
    Examples:
      grace tokens add ada --role approver                              printed, this once
      grace tokens add ada --role approver --save .grace/tokens/ada     kept, for --as ada
      grace tokens add bob --role operator --group api --group workers  only for targets of these groups
      grace tokens revoke ada
    """


@tokens.command("list")
@with_remediator
def list_(remediator: Remediator, as_json: bool) -> None:
    """List whose tokens there are; tokens themselves are stored nowhere."""
    found = list(remediator.items("tokens"))
    if as_json:
        print_json({"items": found})
        return
    print_table(
        ("name", "role", "for", "added", "revoked"),
        (
            (
                t["name"],
                t["role"],
                ", ".join(t.get("groups") or ["all"]),
                moment(t.get("created_at")),
                moment(t.get("revoked_at")),
            )
            for t in found
        ),
        empty="no tokens",
    )


@tokens.command()
@click.argument("name")
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]), help="What it may do.")
@click.option("--group", "groups", multiple=True, help="A group of targets that it may act on; all, unless given.")
@click.option("--save", type=click.Path(path_type=Path), help="Write the token to a new private file, do not print it.")
@with_remediator
def add(
    remediator: Remediator, as_json: bool, name: str, role: str, groups: tuple[str, ...], save: Path | None
) -> None:
    """Give NAME a token, printed this once."""
    if not is_name(name):
        raise click.BadParameter("1 to 64 letters, digits or _.@- are expected", param_hint="NAME")
    if save is not None and save.exists():
        raise Failure(f"{save} exists already; name a new file")
    made = remediator.ask("POST", "tokens", {"name": name, "role": role, "groups": list(groups)})
    if save is not None:
        _write_private(save, made.pop("token"), name)
        made["file"] = str(save)
    if as_json:
        print_json(made)
    else:
        click.echo(f"the token of {shown(name)} is in {shown(made['file'])}" if save else made["token"])


@tokens.command()
@click.argument("name")
@with_remediator
def revoke(remediator: Remediator, as_json: bool, name: str) -> None:
    """End NAME's token at once."""
    answer = remediator.ask("DELETE", f"tokens/{quote(name, safe='')}")
    if as_json:
        print_json(answer)
    else:
        click.echo(f"the token of {shown(name)} is revoked")


def _write_private(path: Path, token: str, name: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token)
    except OSError as error:
        raise Failure(
            f"{path} cannot be written ({error.strerror}), and the token is lost: `grace tokens revoke {name}`, "
            "then add it again"
        ) from error
