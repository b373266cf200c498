"""The catalog in words, for the command line and the generated reference."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from catalog.model import (
    Age,
    Aggregate,
    Bands,
    Catalog,
    Category,
    Derivation,
    Empty,
    EventRatio,
    Events,
    Gauge,
    GaugeRatio,
    IfIneffective,
    MetricCatalogEntry,
    PlaybookDefinition,
    PlaybookStep,
    Quantile,
    Rate,
    Relation,
    Release,
    Response,
    Responses,
    Tier,
    VerifiedBy,
)
from catalog.policy import Policy


def duration_text(seconds: float) -> str:
    """`30s`, `5m`, `1h30m`: a duration as people write it."""
    rest = Decimal(repr(float(seconds)))
    text = ""
    for sign, size in (("d", 86400), ("h", 3600), ("m", 60)):
        count, rest = divmod(rest, size)
        text += f"{count:f}{sign}" if count else ""
    return f"{text}{format(rest.normalize(), 'f')}s" if rest or not text else text


def band_texts(bands: Bands) -> tuple[str, str, str]:
    """Good, warning and critical as they are written in a file: `< 350`, `350..500`, `> 500`."""
    high, low = bands.high, bands.low
    if high and low:
        good = f"{low.warning:f}..{high.warning:f}"
        warning = f"{low.critical:f}..{low.warning:f}, {high.warning:f}..{high.critical:f}"
        return good, warning, f"< {low.critical:f}, > {high.critical:f}"
    edges = high or low
    assert edges is not None, "bands have at least one side"
    within, beyond = ("<", ">") if high else (">", "<")
    closed = "" if edges.warning_owns_edge else "="
    near, far = sorted((edges.warning, edges.critical))
    return f"{within}{closed} {edges.warning:f}", f"{near:f}..{far:f}", f"{beyond} {edges.critical:f}"


def derivation_text(derive: Derivation) -> str:
    """Where the value now comes from, in words."""
    match derive:
        case Gauge():
            return f"the reading {derive.series}"
        case GaugeRatio():
            return f"{derive.numerator} out of {derive.denominator}"
        case Rate():
            per = f", for each of {derive.per}" if derive.per else ""
            return f"how much {derive.counter} grows in a second{per}"
        case Quantile():
            return f"the {derive.quantile * 100:g} % quantile of the histogram {derive.histogram} over one interval"
        case Events():
            return f"how much {derive.counter} grew, exactly"
        case EventRatio():
            least = f", at least {derive.at_least} of them in the window" if derive.at_least > 1 else ""
            return f"growth of {derive.numerator} out of growth of {derive.denominator}{least}"
        case Age():
            return f"now minus {derive.timestamp}; 0 while only {derive.present} exists"


AGGREGATES = {
    Aggregate.AVG: "the average of its measurements",
    Aggregate.MAX: "the highest of its measurements",
    Aggregate.SAME: "derived anew over the whole window",
}
NOTHING = {
    Empty.IDLE: "idle: in no band, fires nothing",
    Empty.ZERO: "0",
    Empty.ABSENT: "absent: an alert of its own, told to people",
}
RELATIONS = {
    Relation.TARGET: "the target",
    Relation.EDGE: "the load balancer at the target's edge",
    Relation.STANDBY: "the target's standby pool",
    Relation.NODES: "the nodes below the target",
    Relation.RECLAIM: "the target's folders to reclaim",
    Relation.ANALYSIS: "the target's analysis job",
    Relation.GOVERNANCE: "Grace's own governance",
}
VERIFIED = {
    VerifiedBy.METRIC: "the metric leaves the band",
    VerifiedBy.EFFECT: "what it makes exists",
    VerifiedBy.CONTAINMENT: "the change is read back; the incident stays contained until released",
}
INEFFECTIVE = {
    IfIneffective.KEEP: "the change is kept",
    IfIneffective.UNDO: "the change is undone",
    IfIneffective.NOTHING: "nothing to undo",
}
RELEASED = {
    Release.STEPWISE: "Grace gives it back step by step, once the metric stayed good",
    Release.PERSON: "only a person gives it back",
    Release.NEVER: "nothing to give back",
}


def acts_on(metric: MetricCatalogEntry) -> str:
    """Which target an incident of this metric is about."""
    return {
        Category.API: "the inventory's target api",
        Category.EXECUTOR: "the inventory's target workers",
        Category.LEARNING: "the inventory's target ingestion",
        Category.AUTONOMY: "Grace's own governance",
        Category.INFRA: "the inventory's target whose resources list the incident's resource",
    }[metric.category]


def people_needed(tier: Tier, policy: Policy) -> int:
    """How many people must approve a plan of this tier, all else being well; 0 where it runs by itself."""
    above = tier > policy.ceiling
    if tier >= Tier.TIER_3:
        return policy.approvals[str(tier)] + above
    if above or (policy.supervised and tier > Tier.TIER_1):
        return policy.approvals[str(tier)]
    return 0


def who_may(playbook: PlaybookDefinition, policy: Policy) -> str:
    """Whether the playbook runs by itself, or how many people it waits for."""
    if playbook.safety and policy.safety_ratchet == "immediate":
        return "applies at once, then waits for a person"
    people = people_needed(playbook.tier, policy)
    if not people:
        return "runs by itself"
    return "waits for one person" if people == 1 else f"waits for {people} people"


def step_text(step: PlaybookStep) -> str:
    """One step in words: `scale the target: by 1`."""
    args = ", ".join(f"{name} {value}" for name, value in step.args.items())
    return f"{step.verb.value} {RELATIONS[step.on]}" + (f": {args}" if args else "")


def response_text(response: Response, catalog: Catalog, policy: Policy) -> str:
    """One response in words, with tier, risk and who may start it."""
    if response.kind == "tell":
        return f"tell {response.name}"
    if response.kind == "escalate":
        return "escalate to a person"
    playbook = catalog.playbooks[response.name]
    return f"{playbook.id} ({playbook.tier}, {playbook.risk.value} risk: {who_may(playbook, policy)})"


def responses_lines(responses: Responses, catalog: Catalog, policy: Policy) -> list[str]:
    """The responses to a band, in order; with the side where the sides differ."""
    if responses.high == responses.low:
        return [response_text(each, catalog, policy) for each in responses.high]
    sides = (("when high", responses.high), ("when low", responses.low))
    return [f"{side}: {response_text(each, catalog, policy)}" for side, listed in sides for each in listed]


def metric_text(metric: MetricCatalogEntry, catalog: Catalog, policy: Policy) -> str:
    """Everything about one metric: where it comes from, what it compiles to, who may do what about it."""
    good, warning, critical = band_texts(metric.bands)
    factor = metric.unit.factor
    base = metric.unit.base.value if factor == 1 else f"{metric.unit.base.value} (1 {metric.unit_label} = {factor:f})"
    rows = [
        ("measured", f"by the {metric.source.collector} collector, every {duration_text(metric.interval)}"),
        ("one per", metric.resource_is),
        ("value", derivation_text(metric.derive)),
        ("window", f"{duration_text(metric.window)}, {AGGREGATES[metric.aggregate]}"),
        ("when nothing", NOTHING[metric.empty]),
        ("in Prometheus", base),
        ("good", f"{good} {metric.unit_label}"),
        ("warning", f"{warning} {metric.unit_label}"),
        ("critical", f"{critical} {metric.unit_label}"),
        ("compiles to", f"group grace.{metric.id}: value, window, bands, alert {metric.alertname} (warning, critical)"),
        ("acts on", acts_on(metric)),
    ]
    for band, responses in (("on warning", metric.warning), ("on critical", metric.critical)):
        lines = responses_lines(responses, catalog, policy) or ["nothing: people are told"]
        rows += [(band if not index else "", f"{index + 1}. {line}") for index, line in enumerate(lines)]
    state = "on" if metric.enabled else "off"
    return _card(f"{metric.id}: {metric.title} ({state})", metric.description, rows)


def playbook_text(playbook: PlaybookDefinition, catalog: Catalog, policy: Policy) -> str:
    """Everything about one playbook: what it does, how much it may, how it is verified, which metrics name it."""
    rows = [
        *(("does" if not index else "", step_text(step)) for index, step in enumerate(playbook.steps)),
        ("tier", f"{playbook.tier}: {who_may(playbook, policy)}"),
        ("risk", playbook.risk.value),
        ("verified", VERIFIED[playbook.verified_by]),
        ("no help", INEFFECTIVE[playbook.if_ineffective]),
        ("released", RELEASED[playbook.release]),
        ("for", ", ".join(users(playbook.id, catalog)) or "no metric"),
    ]
    if playbook.safety:
        rows.append(("safety", "only reduces what runs by itself: applies as the safety ratchet says"))
    if playbook.runbook:
        rows.append(("runbook", playbook.runbook))
    return _card(f"{playbook.id}: {playbook.title}", playbook.description, rows)


def users(playbook_id: str, catalog: Catalog) -> tuple[str, ...]:
    """Metrics that name the playbook, with the bands in which they do: `api.error_rate (warning, critical)`."""
    found = []
    for metric in catalog.metrics.values():
        bands = [
            band
            for band, responses in (("warning", metric.warning), ("critical", metric.critical))
            if any(each.name == playbook_id for each in (*responses.high, *responses.low) if each.kind == "playbook")
        ]
        if bands:
            found.append(f"{metric.id} ({', '.join(bands)})")
    return tuple(found)


def overview_text(catalog: Catalog, policy: Policy) -> str:
    """All metrics and playbooks, a line each, and which metrics are on."""
    rows = [("METRIC", "ON", "EVERY", "UNIT", "GOOD / WARNING / CRITICAL", "ON CRITICAL")]
    for metric in catalog.metrics.values():
        bands = " / ".join(band_texts(metric.bands))
        responses = dict.fromkeys(map(str, (*metric.critical.high, *metric.critical.low)))
        on = "on" if metric.enabled else "off"
        rows.append((metric.id, on, duration_text(metric.interval), metric.unit_label, bands, ", ".join(responses)))
    fixes = [("PLAYBOOK", "TIER", "RISK", "VERIFIED BY", "WHO")]
    for playbook in catalog.playbooks.values():
        who = who_may(playbook, policy)
        fixes.append((playbook.id, str(playbook.tier), playbook.risk.value, playbook.verified_by.value, who))
    total = f"{len(catalog.metrics)} metrics, {len(catalog.enabled)} on; {len(catalog.playbooks)} playbooks"
    if catalog.bindings:
        total += f"; {len(catalog.bindings)} bindings of other alerts"
    return f"{_columns(rows)}\n\n{_columns(fixes)}\n\n{total}"


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _card(heading: str, description: str, rows: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    lines = [heading, *([f"  {description}"] if description else []), ""]
    return "\n".join(lines + [f"  {name.ljust(width)}  {text}".rstrip() for name, text in rows])
