"""What every recorded series of a metric must hold, evaluation by evaluation, and the queries that find differences.

Expectations stand in the test as series of their own (`expected:…`), so that one query compares all resources at all
evaluations: what it gives are the resources that differ, and how often.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from catalog.model import Band
from rules.lives import Judged, Told

Values = Sequence[float | None]

MEASURED = ("worse", "lost-half", "idle-in-critical", "gone", "from-the-start", "gone-in-warning")
"""The lives of which the window's statistics are compared too. No alert rests on a mean, a minimum, a percentile."""
_EXACT = {
    "resource:grace_value:sample": "sample",
    "resource:grace_band:sample": "band",
    "resource:grace_value:window": "window",
    "resource:grace_band:window": "window_band",
    "resource:grace_critical:sustained": "sustained",
    "resource:grace_warning:raised": "raised",
    "resource:grace_alert:severity": "severity",
    "resource:grace_source:present": "present",
}
_STATISTICS = ("avg", "min", "max", "count", "p95")


@dataclass(frozen=True)
class Life:
    """One resource: what was read of it, in values and in ranks, and what must be made of that."""

    samples: Values
    windows: Values
    told: Told
    judged: Judged
    parts: Mapping[str, Values]
    """What is recorded besides, by the end of its name."""


def expected(life: Life) -> Iterator[tuple[str, Values]]:
    """Names and values of the series that say what must be recorded and fire."""
    for name, values in life.parts.items():
        yield name.replace(":", "_"), values
    yield "sample", life.samples
    yield "band", life.told.samples
    yield "window", life.windows
    yield "window_band", life.told.windows
    yield "sustained", life.judged.sustained
    yield "raised", life.judged.raised
    yield "severity", life.judged.severity
    yield "present", [1 if each else None for each in life.told.present]
    yield "stale", [1 if each else None for each in life.judged.stale]


def statistics(life: Life, per_window: int) -> Iterator[tuple[str, str, Values]]:
    """Names, bands (`""` where there is none) and values of what must be recorded of the window."""
    spans = [(max(0, at - per_window + 1), at + 1) for at in range(len(life.samples))]
    held = [sorted(value for value in life.samples[low:high] if value is not None) for low, high in spans]
    yield "avg", "", [math.fsum(each) / len(each) if each else None for each in held]
    yield "min", "", [each[0] if each else None for each in held]
    yield "max", "", [each[-1] if each else None for each in held]
    yield "count", "", [len(each) or None for each in held]
    yield "p95", "", [_p95(each) for each in held]
    for band in Band:
        ranks = [life.told.samples[low:high] for low, high in spans]
        yield (
            "bands",
            band.value,
            [each.count(band.rank) if len(each) > each.count(None) else None for each in ranks],
        )


def differences(own: str, parts: Iterable[str]) -> Iterator[str]:
    """Queries, each of an instant vector that is empty where everything is as expected.

    `own` are matchers, without braces, of the series that belong to these lives; `parts` what is recorded besides.
    """
    for part in parts:
        yield different(f"resource:grace_{part}{{{own}}}", f"expected:{part.replace(':', '_')}")
    for name, wanted in _EXACT.items():
        # A mean that the rules round may lie beside ours by its last bit.
        rounded = name == "resource:grace_value:window"
        yield different(f"{name}{{{own}}}", f"expected:{wanted}", rounded=rounded)
    for band in Band:
        is_ = f'resource:grace_band:is{{{own},band="{band.value}"}}'
        yield different(is_, f"(expected:band == bool {band.rank})")
    lives = f'{own},resource=~".+/({"|".join(MEASURED)})"'
    for name in _STATISTICS:
        yield different(f"resource:grace_value:window_{name}{{{lives}}}", f"expected:{name}", rounded=True)
    yield different(f"resource:grace_band:window_count{{{lives}}}", "expected:bands", "resource, band")


def different(recorded: str, wanted: str, on: str = "resource", *, rounded: bool = False) -> str:
    """Where the two vectors differ, by their labels `on`: in value, or because one lacks what the other has."""
    unequal = f"abs({recorded} - on ({on}) {wanted}) > 0.000002" if rounded else f"{recorded} != on ({on}) {wanted}"
    return f"{unequal} or {unlike(recorded, wanted, on)}"


def unlike(recorded: str, wanted: str, on: str = "resource") -> str:
    """What one of the two vectors has and the other lacks, by their labels `on`."""
    return f"{recorded} unless on ({on}) {wanted} or {wanted} unless on ({on}) {recorded}"


def _p95(ordered: Sequence[float]) -> float | None:
    if not ordered:
        return None
    rank = 0.95 * (len(ordered) - 1)
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)
