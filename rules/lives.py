"""Lives: what a metric goes through, one letter per measurement, and what must fire, told without any PromQL.

This is the specification that the generated promtool tests hold the rules to.

    g good                       G the last value that is still good
    w in the warning band        W exactly where warning begins
    c critical                   E exactly at critical's edge, which is warning
                                 C the first value that is critical
    n there is nothing (no request, an empty queue)     h not measured anew: the last reading, scraped again
    x not scraped                                       N not a number
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LIVES: dict[str, str] = {
    "quiet": "gggggggggggggggggggggggggg",
    "below-warning": "gggGGGGGGGGGGGGGGGGGGGGGGG",
    "at-warning": "gggWWWWWWWWWWWWWWWWWWWWWWW",
    "at-critical": "gggEEEEEEEEEEEEEEEEEEEEEEE",
    "above-critical": "gggCCCCCCCCCCCCCCCCCCCCCCC",
    "one-critical": "ggggggcggggggggggggggggggg",
    "two-critical": "ggggggccgggggggggggggggggg",
    "three-critical": "ggggggcccggggggggggggggggg",
    "one-warning": "ggggggwggggggggggggggggggg",
    "warning": "gggwwwwwwwwwwwwwwwwggggggg",
    "worse": "gggwwwwwwwccccccccwwwwwggg",
    "alternating": "gggcgcgcgcgcgcgcgcgggggggg",
    "two-of-three": "gggccgccgccgccgccggggggggg",
    "idle": "gggnnnnnnnnggggggggggggggg",
    "idle-in-critical": "gggcccccnnnnnnnncccccggggg",
    "held": "ggghhchhhhhhhhhhgggggggggg",
    "lost-one": "gggggcxccggggggggggggggggg",
    "lost-two": "gggggcxcxcgggggggggggggggg",
    "lost-in-critical": "gggcccccxcccccgggggggggggg",
    "not-a-number": "gggggNccNgggggcccNcccggggg",
    "gone": "ggggggxxxxxxxxgggggggggggg",
    "gone-in-critical": "gggccccccxxxxxxxxxgggggggg",
}


@dataclass(frozen=True)
class Told:
    """What a rig measured of one life, evaluation by evaluation; None is no value."""

    samples: Sequence[int | None]
    """Ranks of the band of each measurement."""
    windows: Sequence[int | None]
    """Ranks of the band of each window."""
    present: Sequence[bool]


def severities(told: Told, per_window: int) -> list[int]:
    """What fires at each evaluation: 0 nothing, 1 warning, 2 critical. A window holds `per_window` samples."""
    sustained: list[bool] = []
    raised: list[bool] = []
    fired = []
    for at in range(len(told.samples)):
        newest, four = _last(told.samples, at, 3), _last(told.samples, at, 4)
        sustained.append(bool(newest) and min(newest) == 2 and four.count(2) >= 3)
        raised.append(_raised(told, at, per_window))
        held = any(sustained[max(0, at - 3) : at + 1])
        silent = any(sustained[max(0, at - 7) : at + 1]) and bool(four) and min(four) == 2
        if held or silent:
            fired.append(2)
        else:
            bad_lately = bool(newest) and max(newest) > 0
            fired.append(int(bad_lately and any(raised[max(0, at - 3) : at + 1])))
    return fired


def stale(told: Told) -> list[bool]:
    """Whether the stale alert fires: the source was there, and is not any more since four evaluations."""
    return [
        at >= 2 and any(told.present[: at + 1]) and not any(told.present[max(0, at - 3) : at + 1])
        for at in range(len(told.present))
    ]


def _raised(told: Told, at: int, per_window: int) -> bool:
    window, samples = told.windows[at], _last(told.samples, at, per_window)
    if window == 1:
        return len(samples) >= min(3, per_window)
    return window == 2 and sum(rank > 0 for rank in samples) >= 3


def _last(values: Sequence[int | None], at: int, count: int) -> list[int]:
    return [value for value in values[max(0, at - count + 1) : at + 1] if value is not None]
