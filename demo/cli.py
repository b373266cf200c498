"""`grace drill`: put a real fault into the demo workload and watch it heal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp
import click

from catalog.fault import CatalogError
from demo import faults
from demo.alerts import Alerts
from demo.drills import DRILLS, Drill
from demo.grace_api import GraceApi
from demo.layout import Layout
from demo.measured import Measured
from demo.rehearsal import Rehearsal, Report
from demo.running import NothingRunning, Running, running

NOT_RIGHT, WRONG_USE = 1, 2


@click.command()
@click.argument("name", default="list", metavar="[list|all|NAME]")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".grace"),
    show_default=True,
    help="Data folder of the running stack.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON report; progress goes to standard error.")
@click.option("--timeout", type=click.FloatRange(min=1), help="Seconds to wait for the end of each drill.")
def drill(name: str, data: Path, as_json: bool, timeout: float | None) -> None:
    """Inject a fault, watch it heal, print the time to detect, decide, act, heal.

    Exits 0 when it ended as it should (healed; contained or escalated where that is right), 1 when it did not, 2 when
    nothing runs there. The fault is always taken out again, after Ctrl-C too.
    """
    if name == "list":
        _list(as_json)
        return
    if name != "all" and name not in DRILLS:
        raise _Wrong(f"there is no drill {name!r}; there are all, {', '.join(DRILLS)}")
    chosen = list(DRILLS.values()) if name == "all" else [DRILLS[name]]
    try:
        stack = running(data)
        with _alone(stack.place):
            reports = asyncio.run(_run(stack, chosen, timeout, as_json))
    except (NothingRunning, CatalogError) as error:
        raise _Wrong(str(error)) from error
    except asyncio.CancelledError:
        click.echo("interrupted; the fault was removed", err=True)
        sys.exit(NOT_RIGHT)
    if as_json:
        click.echo(json.dumps([report.as_json() for report in reports], indent=2, ensure_ascii=False))
    elif len(reports) > 1:
        _table(reports)
    if not all(report.ok for report in reports):
        sys.exit(NOT_RIGHT)


class _Wrong(click.ClickException):
    exit_code = WRONG_USE


def _list(as_json: bool) -> None:
    if as_json:
        rows = [{"name": each.name, "title": each.title, "metrics": list(each.metrics)} for each in DRILLS.values()]
        click.echo(json.dumps(rows, indent=2))
        return
    for each in DRILLS.values():
        ends = " or ".join(sorted(end.value for end in each.ends))
        click.echo(f"{each.name:19} {each.title} ({ends})")


async def _run(stack: Running, chosen: Sequence[Drill], patience: float | None, as_json: bool) -> list[Report]:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)

    def say(since: float, text: str) -> None:
        click.echo(f"  {time.time() - since:+7.1f} s  {text}", err=as_json)

    async with aiohttp.ClientSession() as http:
        api = GraceApi(http, stack.remediator, stack.token)
        if not await api.ready():
            raise NothingRunning(f"the remediator at {stack.remediator} does not answer; is `grace up` still running?")
        rehearsal = Rehearsal(stack, api, Measured(http, stack.prometheus), Alerts(http, stack.alertmanager), say)
        reports = []
        for each in chosen:
            click.echo(f"{each.name}: {each.title}", err=as_json)
            report = await rehearsal.run(each, patience)
            click.echo(_verdict(report), err=as_json)
            reports.append(report)
        return reports


def _verdict(report: Report) -> str:
    lines = [
        f"  {course.metric_id} of {course.resource}: "
        + ", ".join(
            f"{name} {f'{course.marks[name]:.1f} s' if name in course.marks else '–'}"
            for name in ("detect", "decide", "act", "heal")
        )
        for course in report.courses
    ]
    ends = " / ".join(dict.fromkeys(course.end.value for course in report.courses if course.end))
    lines.append(
        f"  {report.drill.name}: {ends} in {report.took:.0f} s" if report.ok else f"  NOT healed: {report.why}"
    )
    return "\n".join(lines)


def _table(reports: Sequence[Report]) -> None:
    click.echo()
    click.echo(f"{'drill':19} {'result':22} {'detect':>7} {'decide':>7} {'act':>7} {'heal':>7}")
    for report in reports:
        if not report.courses:
            click.echo(f"{report.drill.name:19} not begun: {report.why}")
        for course in report.courses:
            end = course.end.value if course.end else "–"
            times = " ".join(
                f"{course.marks[name]:7.1f}" if name in course.marks else f"{'–':>7}"
                for name in ("detect", "decide", "act", "heal")
            )
            click.echo(f"{report.drill.name:19} {end if report.ok else f'NOT RIGHT: {end}':22} {times}")


@contextlib.contextmanager
def _alone(place: Layout) -> Iterator[None]:
    """One drill at a time on a workload; whatever happens, no fault is left in it."""
    with (place.root / "drill.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _Wrong("another drill is running on this data folder; wait for its end") from None
        faults.clear(place.faults)
        try:
            yield
        finally:
            faults.clear(place.faults)
