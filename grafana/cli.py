"""`grace grafana`: write the dashboards, see whether they drifted, and check anybody's dashboards."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from catalog.load import CatalogError, load_catalog

HERE = Path(__file__).parent
FILE = click.Path(path_type=Path, dir_okay=False)


class _Wrong(click.ClickException):
    """Wrong usage, configuration or input: exit code 2."""

    exit_code = 2


@click.group()
def grafana() -> None:
    """Dashboards generated from the catalog, and a check that finds broken ones."""


@grafana.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=HERE, help="Folder to write to.")
@click.option("--catalog", "files", type=FILE, multiple=True, help="Laid over the shipped catalog, in order.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where files differ from the catalog.")
def build(out: Path, files: tuple[Path, ...], check: bool) -> None:
    """Write the dashboards (JSON) and Grafana's provisioning files."""
    try:
        # Only building needs the Foundation SDK; checking must do without.
        from grafana import build as building
        from grafana import output
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("grafana_foundation_sdk"):
            raise
        raise _Wrong("building dashboards needs Grafana's Foundation SDK: pip install 'grace[grafana]'") from error
    try:
        generated = building.build(load_catalog(files))
        differences = output.drift(out, generated)
        if check:
            _report(out, differences)
            return
        changed = output.write(out, generated)
    except CatalogError as error:
        raise _Wrong(str(error)) from error
    except OSError as error:
        raise _Wrong(f"cannot write to {out}: {error}") from error
    click.echo(f"{len(generated)} files in {out}, {len(changed)} changed")


def _report(out: Path, differences: dict[str, str]) -> None:
    if not differences:
        click.echo(f"{out} is what the catalog says")
        return
    for difference in differences.values():
        click.echo(difference, nl=False)
    click.echo(f"{len(differences)} files in {out} differ; `grace grafana build` writes them again", err=True)
    sys.exit(1)
