"""An incident's story as Markdown. Pure: the same story gives the same bytes.

Everything in it may come from a stranger's label, so nothing in it can become Markdown, HTML or a control character.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from remediator.drivers.postmortem.picture import Curve, Mark, Threshold

Facts = Mapping[str, Any]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")
_LONGEST_CELL = 300


def markdown(story: Facts, written_at: float, *, picture: str | None = None, note: str = "") -> str:
    """The report. What the story lacks is said to be lacking.

    `picture` is the name of an SVG beside it; where there is none, `note` says why.
    """
    incident: Facts = story.get("incident") or {}
    runs: Sequence[Facts] = story.get("runs") or ()
    audit: Sequence[Facts] = story.get("audit") or ()
    snapshots: Sequence[Facts] = story.get("snapshots") or ()
    title = f"# Postmortem of {text(incident.get('id'))}"
    parts = [
        title,
        _summary(incident, written_at),
        "## How it went\n\n" + _pictured(incident, picture, note),
        "## What was measured\n\n" + _snapshots(snapshots),
        "## What was done\n\n" + _runs(runs),
        "## Timeline\n\n" + _timeline(audit),
        "## Record\n\n" + _record(audit),
    ]
    return "\n\n".join(parts) + "\n"


def curve_of(seen: Facts, story: Facts) -> Curve | None:
    """The measurements, where the bands begin, and when what was done; None where nothing was measured."""
    points = [(float(at), float(value)) for at, value in seen.get("points") or () if math.isfinite(value)]
    if not points:
        return None
    limits = [Threshold(str(each["band"]), float(each["value"]), bool(each["above"])) for each in seen["thresholds"]]
    return Curve(str(seen["title"]), str(seen["unit"]), points, limits, list(_marks(story)))


def _marks(story: Facts) -> Iterator[Mark]:
    incident: Facts = story.get("incident") or {}
    for key, word in (("opened_at", "the incident was opened"), ("closed_at", "the incident was closed")):
        if _is_moment(incident.get(key)):
            yield Mark(float(incident[key]), word)
    for run in story.get("runs") or ():
        for step in run.get("steps") or ():
            if _is_moment(step.get("intended_at")):
                phase = "" if step.get("phase") in (None, "do") else f"{step['phase']} of "
                words = f"{phase}{run.get('playbook_id')}: {step.get('verb')} {step.get('target')}, {step.get('state')}"
                yield Mark(float(step["intended_at"]), words)


def _is_moment(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11


def text(value: object) -> str:
    """One line of plain Markdown text, whatever it was; a dash for nothing."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool | int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    found = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    line = "".join(char if char.isprintable() else " " for char in found)
    if len(line) > _LONGEST_CELL:
        line = line[:_LONGEST_CELL] + "…"
    return _SPECIAL.sub(r"\\\1", line)


def moment(value: object) -> str:
    """An epoch time as people read it, in UTC; a dash for none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–"
    try:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return "–"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = ["| " + " | ".join(row) + " |" for row in rows]
    if not body:
        return "Nothing."
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *body])


def _summary(incident: Facts, written_at: float) -> str:
    opened, closed = incident.get("opened_at"), incident.get("closed_at")
    facts = [
        ("metric", text(incident.get("metric_id"))),
        ("resource", text(incident.get("resource"))),
        ("band", text(incident.get("band"))),
        ("target", text(incident.get("target"))),
        ("state", text(incident.get("state"))),
        ("outcome", text(incident.get("outcome"))),
        ("opened", moment(opened)),
        ("closed", moment(closed)),
        ("lasted", _lasted(opened, closed if closed is not None else written_at)),
        ("why it is so", text(incident.get("reason"))),
        ("written", moment(written_at)),
    ]
    return table(("", "times are UTC"), ((name, value) for name, value in facts))


def _lasted(begin: object, end: object) -> str:
    if not isinstance(begin, int | float) or not isinstance(end, int | float):
        return "–"
    return f"{max(0.0, end - begin):.1f} s"


def _pictured(incident: Facts, picture: str | None, note: str) -> str:
    if picture is None:
        return f"There is no picture. {text(note)}"
    return f"![{text(incident.get('metric_id'))} of {text(incident.get('resource'))}]({picture})"


def _snapshots(snapshots: Sequence[Facts]) -> str:
    columns = ("moment", "metric_id", "resource", "count", "min", "avg", "p95", "max", "last", "unit", "bands")
    return table(
        ("at", *columns),
        ((moment(each.get("at")), *(text(each.get(column)) for column in columns)) for each in snapshots),
    )


def _runs(runs: Sequence[Facts]) -> str:
    if not runs:
        return "Nothing was run."
    return "\n\n".join(_run(each) for each in runs)


def _run(run: Facts) -> str:
    columns = ("phase", "verb", "target", "before", "desired", "after", "state", "error")
    steps = (
        (
            text(step.get("index", number)),
            moment(step.get("intended_at")),
            moment(step.get("ended_at")),
            *(text(step.get(column)) for column in columns),
        )
        for number, step in enumerate(run.get("steps") or ())
    )
    lines = [
        f"### {text(run.get('playbook_id'))} on {text(run.get('target'))}",
        "",
        f"Run {text(run.get('id'))}: {text(run.get('verdict'))}, ended as {text(run.get('state'))}"
        f" ({text(run.get('outcome'))}), confidence {text(run.get('confidence'))}.",
        f"Reasons: {', '.join(text(reason) for reason in run.get('reasons') or ()) or '–'}.",
        "",
        table(("step", "intended", "ended", *columns), steps),
    ]
    return "\n".join(lines)


def _timeline(audit: Sequence[Facts]) -> str:
    ordered = sorted(audit, key=lambda entry: entry.get("seq") or 0)
    return table(
        ("audit entry", "at", "what", "who", "run", "details"),
        (
            (
                text(entry.get("seq")),
                moment(entry.get("at")),
                text(entry.get("kind")),
                text(entry.get("actor")),
                text(entry.get("run_id")),
                text(entry.get("body")),
            )
            for entry in ordered
        ),
    )


def _record(audit: Sequence[Facts]) -> str:
    numbers = sorted(seq for entry in audit if isinstance(seq := entry.get("seq"), int))
    if not numbers:
        return "No audit entry belongs to this incident."
    span = f"{numbers[0]} to {numbers[-1]}"
    return f"{len(numbers)} audit entries, {span}. `grace audit verify` says whether they are whole."
