"""The Alertmanager configuration: what goes to Grace, what to people, and what people need not hear.

Inhibition is a property of an alert, not of a route: what is inhibited reaches nobody. So people have alerts of their
own (`audience="people"`), and only those are ever inhibited; Grace's (`grace="true"`) always arrive.
"""

from __future__ import annotations

from dataclasses import dataclass

from catalog.model import Catalog, TimeScale
from rules.compile import header
from rules.groups import OUT_OF_BAND, STALE_ALERT
from rules.promql import duration
from rules.yamltext import Value, dump

GRACE = "grace"
PEOPLE = "people"
NOBODY = "nobody"


@dataclass(frozen=True)
class Receivers:
    """Where alerts are sent. Credentials are named by file, never written into a configuration."""

    remediator_url: str = "http://127.0.0.1:9782"
    credentials_file: str = "tokens/alertmanager"
    people_url: str | None = None
    """A webhook that tells people; without it the receiver `people` is there to be filled in."""
    people_credentials_file: str | None = None


def config(catalog: Catalog, scale: TimeScale, receivers: Receivers | None = None) -> str:
    """The text of a whole `alertmanager.yml`: Grace, people, and whatever else arrives goes to people too."""
    to = receivers or Receivers()
    routes = _routes(catalog, scale)
    if catalog.bindings:
        # The receiver at the top hears only of what no route below took, and Grace's took these.
        routes.append({"receiver": PEOPLE, **_people_timing(scale)})
    value: Value = {
        "global": {"resolve_timeout": "5m"},
        "route": {**_people_timing(scale), "receiver": PEOPLE, "routes": routes},
        "inhibit_rules": _inhibit_rules(),
        "receivers": _receivers(to),
    }
    return dump(value, header(catalog))


def fragment(catalog: Catalog, scale: TimeScale, receivers: Receivers | None = None) -> str:
    """What to add to a configuration that exists: routes before the others, inhibition rules, receivers."""
    to = receivers or Receivers()
    how = (
        "Add to an existing configuration: `routes` first below its `route`, the inhibition rules and the receivers to "
        "its own.\nWhere the catalog binds alerts of your own, end your routes with one to your default "
        "receiver; see docs/how-to/route-alerts.md."
    )
    value: Value = {
        "routes": _routes(catalog, scale),
        "inhibit_rules": _inhibit_rules(),
        "receivers": _receivers(to),
    }
    return dump(value, f"{header(catalog)}\n{how}")


def _routes(catalog: Catalog, scale: TimeScale) -> list[Value]:
    """The order matters: Grace first and on, then what nobody is called for, then people."""
    return [
        {
            "receiver": GRACE,
            "matchers": ['grace="true"'],
            "group_by": ["metric_id", "resource", "severity"],
            **_grace_timing(scale),
            "continue": True,
        },
        *_bound_routes(catalog, scale),
        {"receiver": NOBODY, "matchers": [f'alertname!="{STALE_ALERT}"', 'grace="true"']},
        {"receiver": NOBODY, "matchers": ['alertname="GraceHandling"']},
        # Grace gets a head start: by then it has said that it handles the alert, or it does not.
        {
            "receiver": PEOPLE,
            "matchers": [f'alertname="{OUT_OF_BAND}"', 'audience="people"'],
            **_people_timing(scale),
            "group_wait": _span(scale, 120, 12),
        },
        {"receiver": PEOPLE, "matchers": [f'alertname="{STALE_ALERT}"', 'grace="true"'], **_people_timing(scale)},
        {"receiver": PEOPLE, "matchers": ['audience="people"', 'category="grace"'], **_people_timing(scale)},
    ]


def _bound_routes(catalog: Catalog, scale: TimeScale) -> list[Value]:
    """A team's own alerts that a binding answers: to Grace, and on to wherever they went before."""
    written: set[tuple[str, ...]] = set()
    routes: list[Value] = []
    for binding in catalog.bindings:
        # What Grace's first route takes already must not arrive twice.
        matchers = (*binding.matchers, 'grace!="true"')
        if matchers in written:
            continue
        written.add(matchers)
        routes.append(
            {
                "receiver": GRACE,
                "matchers": list(matchers),
                "group_by": ["..."],
                **_grace_timing(scale),
                "continue": True,
            }
        )
    return routes


def _grace_timing(scale: TimeScale) -> dict[str, Value]:
    return {
        "group_wait": _span(scale, 1, 1),
        "group_interval": _span(scale, 30, 3),
        "repeat_interval": _span(scale, 1800, 60),
    }


def _people_timing(scale: TimeScale) -> dict[str, Value]:
    return {
        "group_by": ["alertname", "metric_id", "resource"],
        "group_wait": _span(scale, 30, 3),
        "group_interval": _span(scale, 300, 30),
        "repeat_interval": _span(scale, 14400, 1440),
    }


def _inhibit_rules() -> list[Value]:
    """Only alerts for people are ever a target. Both rules name both labels: labels missing on both sides are equal."""
    people = [f'alertname="{OUT_OF_BAND}"', 'audience="people"', 'metric_id!=""']
    return [
        {
            "source_matchers": [*people, 'severity="critical"'],
            "target_matchers": [*people, 'severity="warning"'],
            "equal": ["alertname", "metric_id", "resource"],
        },
        {
            "source_matchers": ['alertname="GraceHandling"', 'metric_id!=""'],
            "target_matchers": people,
            "equal": ["metric_id", "resource"],
        },
    ]


def _receivers(to: Receivers) -> list[Value]:
    people: dict[str, Value] = {"name": PEOPLE}
    if to.people_url:
        people["webhook_configs"] = [_webhook(to.people_url, to.people_credentials_file)]
    url = to.remediator_url.rstrip("/") + "/api/v1/alerts"
    return [{"name": GRACE, "webhook_configs": [_webhook(url, to.credentials_file)]}, people, {"name": NOBODY}]


def _webhook(url: str, credentials_file: str | None) -> Value:
    hook: dict[str, Value] = {"url": url, "send_resolved": True, "max_alerts": 0}
    if credentials_file:
        # A redirect loses the body.
        hook["http_config"] = {"follow_redirects": False, "authorization": {"credentials_file": credentials_file}}
    return hook


def _span(scale: TimeScale, seconds: float, drill: float) -> str:
    return duration(drill if scale.drill else max(1.0, seconds * scale.factor))
