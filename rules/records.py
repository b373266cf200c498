"""What every recorded series of a metric must hold at one evaluation, counted over all resources and their lives."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from catalog.model import Band
from rules.lives import Judged, Told
from rules.promql import number

Values = Sequence[float | None]


@dataclass(frozen=True)
class Life:
    """One resource: what was read of it, in values and in ranks, and what must be made of that."""

    samples: Values
    windows: Values
    told: Told
    judged: Judged


def records(lives: Sequence[Life], at: int, per_window: int, own: str) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Expressions and what they give: labels as promtool writes them, and how many resources have that value.

    `own` are matchers, without braces, of the series that belong to these lives.
    """
    plain: dict[str, list[float | None]] = {
        "resource:grace_value:sample": [life.samples[at] for life in lives],
        "resource:grace_band:sample": [life.told.samples[at] for life in lives],
        "resource:grace_band:window": [life.told.windows[at] for life in lives],
        "resource:grace_critical:sustained": [life.judged.sustained[at] for life in lives],
        "resource:grace_warning:raised": [life.judged.raised[at] for life in lives],
        "resource:grace_alert:severity": [life.judged.severity[at] for life in lives],
        "resource:grace_source:present": [1 if life.told.present[at] else None for life in lives],
        "resource:grace_value:window_min": [
            min(held) if (held := _held(life, at, per_window)) else None for life in lives
        ],
        "resource:grace_value:window_max": [
            max(held) if (held := _held(life, at, per_window)) else None for life in lives
        ],
        "resource:grace_value:window_count": [len(_held(life, at, per_window)) or None for life in lives],
    }
    for name, values in plain.items():
        yield f'count_values("value", {name}{{{own}}})', _counted(("", value) for value in values)
    rounded = {
        "resource:grace_value:window": [life.windows[at] for life in lives],
        "resource:grace_value:window_avg": [_mean(_held(life, at, per_window)) for life in lives],
        "resource:grace_value:window_p95": [_p95(_held(life, at, per_window)) for life in lives],
    }
    for name, values in rounded.items():
        # A mean or a percentile may end in any digit, so they are compared where no value lies near a step.
        expr = f'count_values("value", floor({name}{{{own}}} * 1000 + 0.1237))'
        yield expr, _counted(("", None if value is None else math.floor(value * 1000 + 0.1237)) for value in values)
    for name, span in (("resource:grace_band:is", 1), ("resource:grace_band:window_count", per_window)):
        yield (
            f'count_values by (band) ("value", {name}{{{own}}})',
            _counted(
                (f'band="{band}", ', count)
                for life in lives
                for band, count in _by_band(life.told.samples[max(0, at - span + 1) : at + 1])
            ),
        )


def _held(life: Life, at: int, per_window: int) -> list[float]:
    return [value for value in life.samples[max(0, at - per_window + 1) : at + 1] if value is not None]


def _mean(held: Sequence[float]) -> float | None:
    return math.fsum(held) / len(held) if held else None


def _p95(held: Sequence[float]) -> float | None:
    if not held:
        return None
    ordered = sorted(held)
    rank = 0.95 * (len(ordered) - 1)
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def _by_band(ranks: Sequence[int | None]) -> Iterator[tuple[str, int]]:
    """How many samples were in each band; nothing at all without samples."""
    held = [rank for rank in ranks if rank is not None]
    return ((band.value, held.count(band.rank)) for band in Band if held)


def _counted(values: Iterator[tuple[str, float | None]]) -> dict[str, int]:
    counted = Counter(f'{{{label}value="{number(float(value))}"}}' for label, value in values if value is not None)
    return dict(sorted(counted.items()))
