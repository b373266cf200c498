"""`grace grafana`: write the dashboards, see whether they drifted, and check anybody's dashboards."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import click

from catalog.load import CatalogError, load_catalog
from catalog.notation import parse_duration
from grafana.check.document import NotADashboard
from grafana.check.finding import Rule
from grafana.check.prometheus import Unreachable
from grafana.check.run import Report, dashboards
from grafana.check.run import check as run_check

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


@grafana.command()
@click.argument("files", type=click.Path(path_type=Path, exists=True), nargs=-1)
@click.option("--prometheus", metavar="URL", default="", help="Ask every query of this Prometheus.")
@click.option("--token-file", type=FILE, help="A file that holds a bearer token for it.")
@click.option("--since", metavar="DURATION", help="Look back so far (15m), instead of the dashboards' own times.")
@click.option("--ignore", type=click.Choice([rule.value for rule in Rule]), multiple=True, help="Leave a rule out.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(
    files: tuple[Path, ...],
    prometheus: str,
    token_file: Path | None,
    since: str | None,
    ignore: tuple[str, ...],
    as_json: bool,
) -> None:
    """Find what is broken in dashboards: Grace's own, or those in FILES (JSON, or folders of it).

    Exit code 1 when something is.
    """
    try:
        report = asyncio.run(
            run_check(
                dashboards(files or (HERE / "dashboards",)),
                now=time.time(),
                prometheus=prometheus,
                token=token_file.read_text(encoding="utf-8").strip() if token_file else "",
                since=_duration(since),
                ignored=[Rule(name) for name in ignore],
            )
        )
    except (NotADashboard, Unreachable) as error:
        raise _Wrong(str(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _Wrong(f"{token_file}: {error}") from error
    click.echo(_as_json(report) if as_json else _as_text(report, bool(prometheus)))
    if report.findings:
        sys.exit(1)


def _duration(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        length = float(parse_duration(text))
    except (ValueError, TypeError) as error:
        raise click.BadParameter("write 90s, 15m or 6h", param_hint="--since") from error
    if length <= 0:
        raise click.BadParameter("must be above 0", param_hint="--since")
    return length


def _as_json(report: Report) -> str:
    value = {
        "dashboards": [{"file": each.file, "uid": each.uid, "title": each.title} for each in report.dashboards],
        "queries": report.queries,
        "asked": report.asked,
        "findings": [finding.as_json() for finding in report.findings],
    }
    return json.dumps(value, indent=2, ensure_ascii=False)


def _as_text(report: Report, asked: bool) -> str:
    what = f"{len(report.dashboards)} dashboards, {report.queries} queries"
    answered = f", {report.asked} asked" if asked else ""
    return "\n".join([*map(str, report.findings), f"{what}{answered}, {len(report.findings)} findings"])


def _report(out: Path, differences: dict[str, str]) -> None:
    if not differences:
        click.echo(f"{out} is what the catalog says")
        return
    for difference in differences.values():
        click.echo(difference, nl=False)
    click.echo(f"{len(differences)} files in {out} differ; `grace grafana build` writes them again", err=True)
    sys.exit(1)
