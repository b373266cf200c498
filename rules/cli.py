"""`grace rules`: write the generated files, see whether they drifted, and have them checked."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from catalog.load import CatalogError, load_catalog
from catalog.model import TimeScale
from rules import output, tools
from rules.alertmanager import Receivers
from rules.build import build as build_files
from rules.lint import lint

GENERATED = Path(__file__).parent / "generated"
LONGEST_SCRAPE = 86400.0
"""Seconds between two scrapes, at most."""
FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def rules() -> None:
    """Compile the catalog into Prometheus rules, Alertmanager configuration and promtool tests."""


@rules.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=GENERATED, help="Folder to write to.")
@click.option("--catalog", "files", type=FILE, multiple=True, help="Laid over the shipped catalog, in order.")
@click.option("--time-scale", type=float, default=1.0, help="Scale intervals and windows (0-1], for tests.")
@click.option("--drill", is_flag=True, help="The drill profile: every interval a tenth, within 2 s and 6 s.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where files differ from the catalog.")
@click.option("--tests/--no-tests", default=True, help="Write promtool tests too; slow where metrics are many.")
@click.option("--remediator-url", default=Receivers.remediator_url, show_default=True)
@click.option("--credentials-file", default=Receivers.credentials_file, show_default=True, help="Bearer token's file.")
@click.option("--people-url", help="A webhook that tells people.")
@click.option("--docs-url", default="docs", show_default=True, help="Where runbook_url points.")
def build(
    out: Path,
    files: tuple[Path, ...],
    time_scale: float,
    drill: bool,
    check: bool,
    tests: bool,
    remediator_url: str,
    credentials_file: str,
    people_url: str | None,
    docs_url: str,
) -> None:
    """Write rule files, Alertmanager configuration, promtool tests and a PrometheusRule.

    With --no-tests, tests of an earlier catalog are removed: they would hold the rules to something else.
    """
    if not 0 < time_scale <= 1:
        raise click.BadParameter("must be above 0 and at most 1", param_hint="--time-scale")
    receivers = Receivers(remediator_url, credentials_file, people_url)
    try:
        catalog = load_catalog(files)
        scale = TimeScale(factor=time_scale, drill=drill)
        generated = build_files(catalog, scale, receivers, docs=docs_url, tests=tests)
        if check:
            _report_drift(out, output.drift(out, generated))
            return
        changed = output.write(out, generated)
    except (CatalogError, ValueError) as error:
        raise _Wrong(str(error)) from error
    except OSError as error:
        raise _Wrong(f"nothing was written to {out}: {error}") from error
    click.echo(f"{len(generated)} files in {out}, {len(changed)} changed")


@rules.command("check")
@click.argument("files", type=click.Path(path_type=Path, exists=True), nargs=-1)
@click.option("--promtool", type=FILE, help="Default: in $GRACE_TOOLS, on PATH, in .grace/tools.")
@click.option("--amtool", type=FILE, help="Default: in $GRACE_TOOLS, on PATH, in .grace/tools.")
@click.option("--scrape-interval", type=float, default=15.0, show_default=True, help="Seconds; for the linter.")
def check_files(files: tuple[Path, ...], promtool: Path | None, amtool: Path | None, scrape_interval: float) -> None:
    """Check rule files (those that were generated, where none is named) with a linter, promtool and amtool.

    A folder stands for the generated files in it: rules, tests and Alertmanager configuration.
    """
    if not 0 < scrape_interval <= LONGEST_SCRAPE:
        raise click.BadParameter(
            f"must be above 0 and at most {LONGEST_SCRAPE:g} seconds", param_hint="--scrape-interval"
        )
    folders = [path for path in files or (GENERATED,) if path.is_dir()]
    loose = [path for path in files if not path.is_dir()]
    rule_files = [*loose, *(path for folder in folders for path in sorted(folder.glob("*.yml")))]
    tests = [path for folder in folders for path in sorted(folder.glob("tests/*.yml"))]
    configs = [path for folder in folders for path in sorted(folder.glob("alertmanager/alertmanager.yml"))]
    if not rule_files:
        raise _Wrong("there are no rule files; write them with `grace rules build`")
    issues = lint(rule_files, scrape_interval)
    try:
        checker = tools.find("promtool", promtool)
        outcomes = [tools.Outcome("grace lint", not issues, "\n".join(map(str, issues)))]
        outcomes.append(tools.check_rules(checker, rule_files))
        if tests:
            outcomes.append(tools.test_rules(checker, tests))
        outcomes += [tools.check_config(tools.find("amtool", amtool), config) for config in configs]
    except tools.ToolMissing as error:
        raise _Wrong(str(error)) from error
    for outcome in outcomes:
        click.echo(f"{'ok    ' if outcome.ok else 'FAILED'}  {outcome.what}")
        if not outcome.ok:
            click.echo(outcome.output, err=True)
    if not all(outcome.ok for outcome in outcomes):
        sys.exit(1)


class _Wrong(click.ClickException):
    """Wrong usage, configuration or input: exit code 2."""

    exit_code = 2


def _report_drift(out: Path, drift: dict[str, str]) -> None:
    if not drift:
        click.echo(f"{out} is what the catalog says")
        return
    for difference in drift.values():
        click.echo(difference, nl=False)
    click.echo(f"{len(drift)} files in {out} differ from the catalog; `grace rules build` writes them again", err=True)
    sys.exit(1)
