"""How everything stands: bands now and over time, incidents, what waits for a person."""

from __future__ import annotations

from catalog.model import Band, Catalog
from grafana import units
from grafana.boards import marks
from grafana.boards.frame import Board, Choice, Row
from grafana.boards.ledger import INCIDENT, once, pending, total, who
from grafana.boards.panels import (
    BAND_COLORS,
    BLUE,
    GREEN,
    ORANGE,
    RED,
    About,
    Panel,
    Query,
    lines,
    number,
    rows,
    states,
    words_of_bands,
)
from grafana.boards.series import IS, PRESENT, Span, bands, ids, latest, spans

UID = "grace-overview"
_CHOSEN = 'category=~"$category",resource=~"$resource"'
_CATEGORY = "/d/grace-${__field.labels.category}?var-resource=${__field.labels.resource}&${__url_time_range}"


def overview(catalog: Catalog) -> Board:
    """The dashboard to begin with."""
    known = spans(catalog.enabled)
    return Board(
        uid=UID,
        title="Grace / Overview",
        description="Every metric's band, now and over time; what Grace is doing; what waits for a person.",
        choices=(
            Choice(
                "category",
                "Category",
                "Which part of the system to look at.",
                f"label_values({PRESENT}, category)",
            ),
            Choice(
                "resource",
                "Resource",
                "Which service, pool, host or volume to look at.",
                f'label_values({PRESENT}{{category=~"$category"}}, resource)',
            ),
        ),
        spans=known,
        annotations=(marks.runs(), marks.wanted()),
        rows=(
            Row("Now", _now(known)),
            Row("Bands", _over_time(known)),
            Row("Incidents", _incidents()),
        ),
    )


def _now(known: tuple[Span, ...]) -> list[Panel]:
    return [
        *(_in_band(known, band) for band in (Band.CRITICAL, Band.WARNING, Band.GOOD)),
        number(
            About(
                "Open incidents",
                "Incidents that are not closed, whatever their state: in Grace's hands, contained, or escalated.",
                4,
                5,
            ),
            [Query(total("grace_remediator_incidents", "state"), "open")],
            units.COUNT,
            steps={1: BLUE},
            trend=True,
        ),
        number(
            About(
                "A person is wanted",
                "Incidents that Grace gave to people: nothing is left to try, or what helped may not be done, or it "
                "cannot see. `grace incidents` tells which, and why.",
                4,
                5,
            ),
            [Query(total("grace_remediator_escalations", INCIDENT), "wanted")],
            units.COUNT,
            steps={1: RED},
            trend=True,
        ),
        number(
            About(
                "Approvals pending",
                "Plans that wait for people to allow them. They expire unanswered; `grace approvals` lists them.",
                4,
                5,
            ),
            [Query(pending(), "pending")],
            units.COUNT,
            steps={1: ORANGE},
            trend=True,
        ),
    ]


def _in_band(known: tuple[Span, ...], band: Band) -> Panel:
    counted = " or ".join(
        latest(f'{IS}{{band="{band.value}",metric_id=~"{ids(span.metrics)}",{_CHOSEN}}}', span) for span in known
    )
    color = {Band.CRITICAL: RED, Band.WARNING: ORANGE, Band.GOOD: GREEN}[band]
    return number(
        About(
            f"In {band.value}",
            f"How many metrics are in {band.value} by their newest measurement, each resource counted by itself.",
            4,
            5,
        ),
        [Query(f"sum(max by (metric_id, resource) ({counted})) or vector(0)", band.value)],
        units.COUNT,
        steps={1: color} if band is not Band.GOOD else {0: color},
        trend=True,
    )


def _over_time(known: tuple[Span, ...]) -> list[Panel]:
    counted = " or ".join(latest(f'{IS}{{metric_id=~"{ids(span.metrics)}",{_CHOSEN}}}', span) for span in known)
    return [
        states(
            About(
                "Bands",
                "The worst band of each metric within each step of time. Idle: the source lives and has nothing to "
                "measure. A gap: no data. Follow a row to its category.",
                24,
                16,
            ),
            [Query(bands(span, _CHOSEN), "{{metric_id}} · {{resource}}") for span in known],
            words_of_bands(),
            link=_CATEGORY,
        ),
        lines(
            About(
                "Metrics by band",
                "How many metrics were in which band, each resource counted by itself. Idle ones are in none.",
                24,
                8,
            ),
            [Query(f"sum by (band) (max by (metric_id, resource, band) ({counted}))", "{{band}}")],
            units.COUNT,
            stacked=True,
            colors={band.value: BAND_COLORS[band.value] for band in Band},
        ),
    ]


def _incidents() -> list[Panel]:
    return [
        states(
            About(
                "Who is at it",
                "Incidents over time. Nobody is called for what is in Grace's hands.",
                16,
                9,
                empty="No incident in this time",
            ),
            [Query(who(), "{{metric_id}} · {{resource}}")],
            {"1": ("Grace is at it", BLUE), "2": ("A person is wanted", RED)},
        ),
        rows(
            About(
                "Wanted now",
                "What Grace gave to people and nobody has closed yet. `grace incidents` tells what was tried.",
                8,
                9,
                empty="Nobody is wanted",
            ),
            [Query(f"{once('grace_remediator_escalations', INCIDENT)} == 1", "", now=True)],
            {"metric_id": "Metric", "resource": "Resource", "Value": "Incidents"},
        ),
    ]
