"""The reference in Markdown: `metrics.md` and `playbooks.md`, generated from the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from catalog.explain import (
    AGGREGATES,
    INEFFECTIVE,
    NOTHING,
    RELEASED,
    VERIFIED,
    acts_on,
    band_texts,
    derivation_text,
    duration_text,
    step_text,
    users,
    who_may,
)
from catalog.model import Catalog, Category, MetricCatalogEntry, PlaybookDefinition, Response, Responses
from catalog.policy import Policy
from catalog.proven import FROM_AN_ALERT, PROVEN

_MARK = "<!-- DO NOT EDIT: generated from catalog/entries by `grace catalog reference`. -->"


def reference(catalog: Catalog, policy: Policy) -> Mapping[str, str]:
    """Each file's name and its whole text."""
    return {"metrics.md": _metrics(catalog), "playbooks.md": _playbooks(catalog, policy)}


def anchor(name: str) -> str:
    """The heading's anchor, as GitHub makes it: `api.latency_p95` is `apilatency_p95`."""
    return "".join(letter for letter in name.lower() if letter.isalnum() or letter in "-_")


def _metrics(catalog: Catalog) -> str:
    off = [f"`{metric.id}`" for metric in catalog.metrics.values() if not metric.enabled]
    lines = [
        _MARK,
        "",
        "# Metrics",
        "",
        f"{len(catalog.metrics)} metrics, {len(catalog.enabled)} of them on"
        + (f"; {' and '.join(off)} are turned on by `enabled: true`." if off else "."),
        "Values are shown in the unit that people read; Prometheus has base units (seconds, ratios, bytes).",
        "",
        *_table(
            ("metric", "unit", "every", "good", "warning", "critical"),
            [
                (
                    f"[{metric.id}](#{anchor(metric.id)})",
                    metric.unit_label,
                    duration_text(metric.interval),
                    *band_texts(metric.bands),
                )
                for metric in catalog.metrics.values()
            ],
        ),
    ]
    for category in Category:
        members = [metric for metric in catalog.metrics.values() if metric.category is category]
        if members:
            lines += ["", f"## {category.value}"]
        for metric in members:
            lines += ["", *_metric(metric)]
    return "\n".join(lines) + "\n"


def _metric(metric: MetricCatalogEntry) -> Iterator[str]:
    good, warning, critical = band_texts(metric.bands)
    window = "resource:grace_value:window"
    yield f"### {metric.id}"
    yield ""
    yield f"**{metric.title}**{'' if metric.enabled else ' (off)'}. {metric.description}".rstrip()
    yield ""
    yield from _table(
        ("", ""),
        [
            ("collected by", f"`{metric.source.collector}`, every {duration_text(metric.interval)}"),
            ("one value per", metric.resource_is),
            ("value", derivation_text(metric.derive)),
            ("window", f"{duration_text(metric.window)}, {AGGREGATES[metric.aggregate]}"),
            ("when there is nothing", NOTHING[metric.empty]),
            ("good / warning / critical", f"{good} / {warning} / {critical} {metric.unit_label}"),
            ("alert", f"`{metric.alertname}`, severity `warning` or `critical`"),
            ("recorded as", f'`{window}{{metric_id="{metric.id}"}}`'),
            ("acts on", acts_on(metric)),
            ("on warning", _responses(metric.warning)),
            ("on critical", _responses(metric.critical)),
        ],
    )


def _responses(responses: Responses) -> str:
    if responses.high == responses.low:
        return _listed(responses.high)
    return f"when high {_listed(responses.high)}; when low {_listed(responses.low)}"


def _listed(responses: Sequence[Response]) -> str:
    return ", then ".join(map(_response, responses)) or "people are told"


def _response(response: Response) -> str:
    if response.kind == "playbook":
        return f"[{response.name}](playbooks.md#{anchor(response.name)})"
    return f"tell {response.name}" if response.kind == "tell" else "escalate"


def _playbooks(catalog: Catalog, policy: Policy) -> str:
    lines = [
        _MARK,
        "",
        "# Playbooks",
        "",
        f"{len(catalog.playbooks)} playbooks. What runs by itself is said for the default policy, whose ceiling is "
        f"{policy.ceiling}.",
        "",
        *_table(
            ("playbook", "tier", "risk", "verified by", "by default"),
            [
                (
                    f"[{playbook.id}](#{anchor(playbook.id)})",
                    str(playbook.tier),
                    playbook.risk.value,
                    playbook.verified_by.value,
                    who_may(playbook, policy),
                )
                for playbook in catalog.playbooks.values()
            ],
        ),
        *_platforms(catalog),
    ]
    for playbook in catalog.playbooks.values():
        lines += ["", *_playbook(playbook, catalog, policy)]
    return "\n".join(lines) + "\n"


def _platforms(catalog: Catalog) -> Iterator[str]:
    """Playbook × driver, and the whole loop. Those that act on Grace itself need no platform."""
    drivers = sorted({driver for kinds in PROVEN.values() for driver in kinds})
    rows = [
        (
            f"[{name}](#{anchor(name)})",
            "✓" if name in FROM_AN_ALERT else "",
            *("✓" if driver in PROVEN.get(name, ()) else "" for driver in drivers),
        )
        for name in catalog.playbooks
        if name in PROVEN or name in FROM_AN_ALERT
    ]
    if not rows:
        return
    yield ""
    yield "## Platforms"
    yield ""
    yield "A tick where a test runs the playbook on the platform itself, reads its effect from there, and undoes what"
    yield "can be undone. Kubernetes alone is an API server of the tests' own, as strict as the real one."
    yield ""
    yield "The first column: a test puts a fault into the demo's processes, Prometheus measures it, Alertmanager posts"
    yield "the alert, and the effect and the way back are read from outside. `catalog/proven.py` names the test."
    yield "Playbooks with no other tick act on Grace itself."
    yield ""
    yield from _table(("playbook", "from an alert", *(f"`{driver}`" for driver in drivers)), rows)


def _playbook(playbook: PlaybookDefinition, catalog: Catalog, policy: Policy) -> Iterator[str]:
    yield f"## {playbook.id}"
    yield ""
    yield f"**{playbook.title}**. {playbook.description}".rstrip()
    yield ""
    rows = [
        ("does", "; ".join(map(step_text, playbook.steps))),
        ("tier", f"{playbook.tier}: {who_may(playbook, policy)}"),
        ("risk", playbook.risk.value),
        ("verified by", f"{playbook.verified_by.value}: {VERIFIED[playbook.verified_by]}"),
        ("if it does not help", INEFFECTIVE[playbook.if_ineffective]),
        ("released", RELEASED[playbook.release]),
        ("for", ", ".join(_user(each) for each in users(playbook.id, catalog)) or "no metric"),
    ]
    if playbook.runbook:
        rows.append(("runbook", playbook.runbook))
    yield from _table(("", ""), rows)


def _user(said: str) -> str:
    name, _, bands = said.partition(" ")
    return f"[{name}](metrics.md#{anchor(name)}) {bands}"


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (heading, ["---"] * len(heading), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
