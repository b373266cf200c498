"""Lives: what a metric goes through, one letter per measurement, and what must fire, told without any PromQL.

This is the specification that the generated promtool tests hold the rules to.

    g good                       G the last value that is still good
    w in the warning band        W exactly where warning begins
    c critical                   E exactly at critical's edge, which is warning
    m monstrous: critical,       C the first value that is critical
      and drags every mean along
    k critical by so much that half of it still is
    n there is nothing (no request, an empty queue)     h not measured anew: the last reading, scraped again
    x not scraped                                       u not scraped, and nobody marked it (Prometheus was down)
    v the same from just before its evaluation, so that the last scrape is just too old; of counters these scrapes only
    N not a number    P plus infinity    M minus infinity
    l critical, and measured a moment too late for its evaluation    L the same, and just that scrape was lost
    s good, and nobody marked that just the scrape at its evaluation was lost
    e good, and measured at every scrape: critical only between evaluations
Of counters only:
    r good, after a restart      R restarted about an evaluation that no scrape saw
    q after R: it stands one lower than before          j good, and from here on a second instance counts a half
    o not born yet, though its source is measured       O only the part is not born: nothing of it has happened
    i the same as o, and the scrape at its evaluation lost
    b not born yet, and its source not there either     d not born, and its source was there and is not any more
    f bad, but one event too few to say so              F bad, and just enough of them
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

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
    "one-monstrous": "ggggggmggggggggggggggggggg",
    "warning": "gggwwwwwwwwwwwwwwwwggggggg",
    "worse": "gggwwwwwwwccccccccwwwwwggg",
    "alternating": "gggcgcgcgcgcgcgcgcgggggggg",
    "two-of-three": "gggccgccgccgccgccggggggggg",
    "from-the-start": "cccccccccwwwwwwwwwwwwwgggg",
    "idle": "gggnnnnnnnnggggggggggggggg",
    "idle-in-critical": "gggcccccnnnnnnnncccccggggg",
    "held": "ggghhchhhhhhhhhhgggggggggg",
    "held-in-critical": "gggccccchhhhhhhhhhhhhhhhgg",
    "lost-one": "gggggcxccggggggggggggggggg",
    "lost-two": "gggggcxcxcgggggggggggggggg",
    "lost-in-critical": "gggcccccxcccccgggggggggggg",
    "not-a-number": "gggggNccNgggggcccNcccggggg",
    "infinite": "ggggPPPPPPgggMMMMMMggccccg",
    "gone": "ggggggxxxxxxxxgggggggggggg",
    "gone-in-critical": "gggccccccxxxxxxxxxgggggggg",
    "unmarked": "gggccccuuuuuuuuuucccgggggg",
    "late": "gggclclclclclclclggggggggg",
    "late-and-lost": "ggggggLggggggggggggggggggg",
    "every-scrape": "ggggeeeeeeeeeeeeeeeeeegggg",
    "lost-half": "gggccccxxcxxcxxcxxcxxcgggg",
    "lost-by-two": "gggcccccxxccxxccxxccxxcggg",
    "two-from-the-start": "wwgggggggggggggggggggggggg",
    "scrape-missed": "gggggsssssssgggggggggggggg",
    "gone-in-warning": "gggwwwwwwwxxxxxxxxxxxxxxgg",
    "foreign": "gggcccuuuuuugggwwwwwgggggg",
    "foreign-and-lapsed": "gggcccvuuuuugggwwwwvuugggg",
    "restarted": "ggggccccgrggggggrggggggggg",
    "restarted-unseen": "gggggggRggggggggggRggggggg",
    "three-from-the-start": "wwwwgggggggggggggggggggggg",
    "one-after-idle": "ggggggnnnncggggggggggggggg",
    "two-after-gone": "ggggggxxxxccgggggggggggggg",
    "idle-for-long": "gccccnnnnnnnnnnnncgggggggg",
    "back-in-critical": "gccccxxxxxxxxxxxxccggggggg",
    "lost-every-second": "gggkxkxkxkxkxkxkxkxkxggggg",
    "idle-every-second": "gggknknknknknknknknknggggg",
    "idle-by-three": "gggknnnknnnknnnknnnknggggg",
    "lost-by-two-from-the-worst": "gggkkkkkxxkkxxkkxxkkxxkggg",
    "restarted-below": "gggRqgggggggggggggRqggggcc",
    "joined": "ggggggggjcccccwwwwgggggggg",
    "newborn": "bbbbbbbccccgggggggcccccggg",
    "unborn-and-gone": "ooooioiioodddddddddddddddd",
    "lapsed": "gggcccvvvvcccvvgggggvvvggg",
    "lapsed-for-good": "gggccccvuuuuuuuuuuuuuuuuuu",
    "unborn": "ooooooooocccccgggggggggggg",
    "part-unborn": "OOOOOOOOOcccccgggggggggggg",
    "few": "nnnnnnnfnnnnnnnFnnnnnnfFfn",
    "two-exporters": "gggggcccccwwwwwwwggggggggg",
}
FOREIGN = ("foreign", "foreign-and-lapsed")
"""The lives of resources whose exporter does not say when it measured."""
TWO_EXPORTERS = "two-exporters"
"""The life of one resource that two exporters see, or see a half of each."""


@dataclass(frozen=True)
class Told:
    """What a rig measured of one life, evaluation by evaluation; None is no value."""

    samples: tuple[int | None, ...]
    """Ranks of the band of each measurement."""
    windows: tuple[int | None, ...]
    """Ranks of the band of each window."""
    present: tuple[bool, ...]


@dataclass(frozen=True)
class Judged:
    """What the rules must make of it, evaluation by evaluation; None where there is nothing to judge."""

    sustained: Sequence[int | None]
    raised: Sequence[int | None]
    severity: Sequence[int | None]
    """0 nothing, 1 warning, 2 critical fires."""
    stale: Sequence[bool]


@lru_cache(maxsize=4096)
def judge(told: Told, per_window: int) -> Judged:
    """What must fire. A window holds `per_window` samples."""
    sustained: list[int | None] = []
    raised: list[int | None] = []
    severity: list[int | None] = []
    for at, window in enumerate(told.windows):
        newest, four = _last(told.samples, at, 3), _last(told.samples, at, 4)
        sustained.append(int(min(newest) == 2 and four.count(2) >= 3) if newest else None)
        raised.append(_raised(window, _last(told.samples, at, per_window), per_window))
        still_critical = 1 in _last(sustained, at, 8) and bool(four) and min(four) == 2
        if 1 in _last(sustained, at, 4) or still_critical:
            severity.append(2)
        elif 1 in _last(raised, at, 4) and bool(newest) and max(newest) > 0:
            severity.append(1)
        else:
            severity.append(None if window is None else 0)
    return Judged(sustained, raised, severity, _stale(told.present))


def _stale(present: Sequence[bool]) -> list[bool]:
    """Whether the source was there, and is not any more since four evaluations."""
    return [
        at >= 2 and any(present[: at + 1]) and not any(present[max(0, at - 3) : at + 1]) for at in range(len(present))
    ]


def _raised(window: int | None, samples: Sequence[int], per_window: int) -> int | None:
    if window is None or not samples:
        return None
    if window == 1:
        return int(len(samples) >= min(3, per_window))
    return int(window == 2 and sum(rank > 0 for rank in samples) >= 3)


def _last(values: Sequence[int | None], at: int, count: int) -> list[int]:
    return [value for value in values[max(0, at - count + 1) : at + 1] if value is not None]
