"""`grace fire`: a metric's alert without its fault, posted or printed as Alertmanager would."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from catalog.fault import CatalogError, did_you_mean
from catalog.load import load_catalog
from catalog.model import Severity
from remediator.cli.client import Failure, Place, Remediator, find_place, json_option, place_options, read_token
from remediator.cli.output import print_json
from remediator.webhook.fake import notification, usual_resource
from remediator.webhook.timestamp import parse_timestamp


def _moment(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else parse_timestamp(text).seconds
    except ValueError as error:
        raise click.BadParameter(f"{error}; write it like 2026-11-22T07:50:19.5Z") from error


@click.command()
@click.argument("metric_id")
@click.option("--severity", type=click.Choice([each.value for each in Severity]), default="critical", show_default=True)
@click.option("--resource", help="What it is about; else the demo's resource of this metric.")
@click.option("--resolved", is_flag=True, help="The alert's end instead of its beginning.")
@click.option("--starts-at", callback=_moment, metavar="TIME", help="When it began (RFC 3339); else now.")
@click.option("--ends-at", callback=_moment, metavar="TIME", help="When it ended, with --resolved; else now.")
@click.option("--print", "only_print", is_flag=True, help="Print the JSON body that would be posted, and nothing else.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the token; else Alertmanager's.")
@place_options
@json_option
def fire(
    metric_id: str,
    severity: str,
    resource: str | None,
    resolved: bool,
    starts_at: float | None,
    ends_at: float | None,
    only_print: bool,
    token_file: Path | None,
    config: Path | None,
    data: Path | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Post the alert of METRIC_ID to the remediator, built exactly as Alertmanager builds it.

    An alert is a hint: on a healthy system Prometheus does not confirm it, and what it would cause is held.

    \b
    Examples:
      grace fire infra.cpu_utilization
      grace fire api.latency_p95 --severity warning --resource api
      grace fire executor.queue_depth --resolved
      grace fire infra.cpu_utilization --print | curl --json @- -H "Authorization: Bearer $TOKEN" $URL/api/v1/alerts
    """
    if ends_at is not None and not resolved:
        raise click.UsageError("--ends-at is for --resolved")
    place = find_place(config, data, url)
    now = time.time()
    begin = now if starts_at is None else starts_at
    body = _body(place, metric_id, Severity(severity), resource, begin, (ends_at or now) if resolved else None)
    if only_print:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    token = read_token(token_file or place.token("alertmanager"))
    answer = Remediator(place.url, token).ask("POST", "alerts", body=body)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"accepted {answer['accepted']}, already known {answer['duplicates']}")


def _body(
    place: Place, metric_id: str, severity: Severity, resource: str | None, starts_at: float, ends_at: float | None
) -> bytes:
    try:
        metrics = load_catalog(place.config.catalog).metrics
    except CatalogError as error:
        raise Failure(str(error)) from error
    metric = metrics.get(metric_id)
    if metric is None:
        known = did_you_mean(metric_id, list(metrics)) or "; `grace catalog show` lists them"
        raise Failure(f"the catalog has no metric {metric_id!r}{known}")
    if resource is not None and not _storable(resource):
        raise click.BadParameter("a text of UTF-8 is expected", param_hint="--resource")
    made = notification(
        metric, severity, resource or usual_resource(metric), place.config, starts_at=starts_at, ends_at=ends_at
    )
    return made.body()


def _storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
