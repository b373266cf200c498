"""How a metric went, as an SVG: the measurements, where the bands begin, and when something was done. Pure.

Every word in it may come from a stranger's label: it is text of the document and never markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 960.0, 428.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 72.0, 836.0, 92.0, 344.0
_MOST_DOTS = 1500
_LONGEST = 80
_INK, _FAINT, _GRID, _LINE = "#1f2937", "#6b7280", "#e5e7eb", "#2563eb"
_BAND_COLOURS = {"warning": "#b45309", "critical": "#b91c1c"}
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where a band begins; it lies above the value, or below it where low is bad."""

    band: str
    value: float
    above: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a moment."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric over a time: (epoch seconds, value), oldest first, at least one."""

    title: str
    unit: str
    points: Sequence[tuple[float, float]]
    thresholds: Sequence[Threshold] = ()
    marks: Sequence[Mark] = ()


def svg(curve: Curve) -> str:
    """The picture as a document of its own: no script, no style from elsewhere, nothing that is fetched."""
    scale = _Scale.of(curve)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {_height(curve):g}" role="img"'
        ' aria-labelledby="title" font-family="system-ui, sans-serif" font-size="12">',
        f'<title id="title">{_words(curve.title)}, {_words(curve.unit)}, {_moment(curve.points[0][0])} to'
        f" {_moment(curve.points[-1][0])} UTC</title>",
        f'<rect width="{_WIDTH:g}" height="{_height(curve):g}" fill="#ffffff"/>',
        _text(_LEFT, 28, curve.title, size=16, weight="600"),
        _text(_LEFT, 48, f"{curve.unit} · times are UTC", colour=_FAINT),
        *_bands(curve, scale),
        *_value_axis(scale),
        *_time_axis(scale),
        *_limits(curve, scale),
        *_marks(curve, scale),
        *_measurements(curve, scale),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


@dataclass(frozen=True, slots=True)
class _Scale:
    since: float
    until: float
    low: float
    high: float
    step: float
    """Between two marks of the value axis."""

    @classmethod
    def of(cls, curve: Curve) -> _Scale:
        times = [*(at for at, _ in curve.points), *(mark.at for mark in curve.marks)]
        values = [*(value for _, value in curve.points), *(limit.value for limit in curve.thresholds)]
        since, until = min(times), max(times)
        slack = max((until - since) * 0.02, 1.0)
        low, high = min(values), max(values)
        if low >= 0 and low < 0.6 * high:
            low = 0.0  # a rate, a share or a count is read from zero, unless that leaves nothing to see
        step = _nice((high - low) or abs(high) or 1.0)
        top = math.ceil(high / step + 0.2) * step
        bottom = low if low == 0 else math.floor(low / step - 0.2) * step
        return cls(since - slack, until + slack, bottom, top, step)

    def x(self, at: float) -> float:
        return _LEFT + (at - self.since) / (self.until - self.since) * (_RIGHT - _LEFT)

    def y(self, value: float) -> float:
        return _BOTTOM - (value - self.low) / (self.high - self.low) * (_BOTTOM - _TOP)


def _nice(span: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides the span into four to eight."""
    raw = span / 5
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if raw <= power * factor)


def _height(curve: Curve) -> float:
    return _HEIGHT - 36 + 18 * len(_shown(curve))


def _shown(curve: Curve) -> list[Mark]:
    """The first of them; a long incident has many."""
    return sorted(curve.marks, key=lambda mark: mark.at)[:12]


def _bands(curve: Curve, scale: _Scale) -> Iterator[str]:
    """A tint where each band lies: the worse one over the other."""
    for limit in sorted(curve.thresholds, key=lambda each: each.band != "warning"):
        edge = min(max(scale.y(limit.value), _TOP), _BOTTOM)
        top, bottom = (_TOP, edge) if limit.above else (edge, _BOTTOM)
        yield (
            f'<rect x="{_LEFT:g}" y="{top:.1f}" width="{_RIGHT - _LEFT:g}" height="{bottom - top:.1f}"'
            f' fill="{_BAND_COLOURS.get(limit.band, _FAINT)}" fill-opacity="0.06"/>'
        )


def _limits(curve: Curve, scale: _Scale) -> Iterator[str]:
    for limit in curve.thresholds:
        y, colour = scale.y(limit.value), _BAND_COLOURS.get(limit.band, _FAINT)
        yield (
            f'<line class="threshold" x1="{_LEFT:g}" y1="{y:.1f}" x2="{_RIGHT:g}" y2="{y:.1f}" stroke="{colour}"'
            ' stroke-width="1.2" stroke-dasharray="6 4"/>'
        )
        yield _text(_RIGHT + 8, y + 4, f"{limit.band} {limit.value:g}", colour=colour)


def _value_axis(scale: _Scale) -> Iterator[str]:
    count = round((scale.high - scale.low) / scale.step)
    digits = max(0, -math.floor(math.log10(scale.step)))
    for number in range(count + 1):
        value = scale.low + number * scale.step
        y = scale.y(value)
        yield f'<line x1="{_LEFT:g}" y1="{y:.1f}" x2="{_RIGHT:g}" y2="{y:.1f}" stroke="{_GRID}"/>'
        yield _text(_LEFT - 8, y + 4, f"{value:.{digits}f}", colour=_FAINT, anchor="end", kind="value")


def _time_axis(scale: _Scale) -> Iterator[str]:
    span = scale.until - scale.since
    step = next((each for each in _TIME_STEPS if span / each <= 8), _TIME_STEPS[-1])
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86400 else "%m-%d"
    at = math.ceil(scale.since / step) * step
    yield f'<line x1="{_LEFT:g}" y1="{_BOTTOM:g}" x2="{_RIGHT:g}" y2="{_BOTTOM:g}" stroke="{_FAINT}"/>'
    while at <= scale.until:
        x = scale.x(at)
        yield f'<line x1="{x:.1f}" y1="{_BOTTOM:g}" x2="{x:.1f}" y2="{_BOTTOM + 5:g}" stroke="{_FAINT}"/>'
        yield _text(x, _BOTTOM + 19, f"{datetime.fromtimestamp(at, UTC):{form}}", colour=_FAINT, anchor="middle")
        at += step
    yield _text(_RIGHT + 8, _BOTTOM + 19, f"{datetime.fromtimestamp(scale.since, UTC):%Y-%m-%d}", colour=_FAINT)


def _marks(curve: Curve, scale: _Scale) -> Iterator[str]:
    """A numbered line for each, and what the numbers mean below."""
    taken = -math.inf
    row = 0
    for number, mark in enumerate(_shown(curve), 1):
        x = scale.x(mark.at)
        row = (row + 1) % 3 if x - taken < 16 else 0
        taken = x
        y = _TOP - 6 - 15 * row
        yield f'<line x1="{x:.1f}" y1="{y:g}" x2="{x:.1f}" y2="{_BOTTOM:g}" stroke="{_INK}" stroke-opacity="0.45"/>'
        yield f'<circle class="mark" cx="{x:.1f}" cy="{y:g}" r="8" fill="{_INK}"/>'
        yield _text(x, y + 4, str(number), colour="#ffffff", anchor="middle", size=11)
        below = _BOTTOM + 26 + 18 * number
        yield _text(_LEFT, below, f"{number}", weight="600")
        yield _text(_LEFT + 22, below, f"{_moment(mark.at)[11:]}   {mark.text}")


def _measurements(curve: Curve, scale: _Scale) -> Iterator[str]:
    for part in _unbroken(curve.points):
        way = " ".join(f"{scale.x(at):.1f},{scale.y(value):.1f}" for at, value in part)
        yield f'<polyline points="{way}" fill="none" stroke="{_LINE}" stroke-width="2" stroke-linejoin="round"/>'
    if len(curve.points) > _MOST_DOTS:
        return
    for at, value in curve.points:
        yield (
            f'<circle class="point" cx="{scale.x(at):.2f}" cy="{scale.y(value):.2f}" r="2.5" fill="{_LINE}">'
            f"<title>{_moment(at)} UTC: {value:g} {_words(curve.unit)}</title></circle>"
        )


def _unbroken(points: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """Without a line over a time in which nothing was measured."""
    gaps = sorted(later[0] - earlier[0] for earlier, later in pairwise(points))
    usual = gaps[len(gaps) // 2] if gaps else 0.0
    part: list[tuple[float, float]] = []
    for point in points:
        if part and point[0] - part[-1][0] > 2.5 * usual:
            yield part
            part = []
        part.append(point)
    if part:
        yield part


def _text(
    x: float, y: float, words: str, *, colour: str = _INK, anchor: str = "", size: int = 0, weight: str = "",
    kind: str = "",
) -> str:  # fmt: skip
    given = {"class": kind, "text-anchor": anchor, "font-size": str(size or ""), "font-weight": weight}
    more = "".join(f' {name}="{value}"' for name, value in given.items() if value)
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{more}>{_words(words)}</text>'


def _words(words: str) -> str:
    """Text of an XML document, on one line and bounded."""
    line = "".join(char if char.isprintable() else " " for char in words)
    return escape(line if len(line) <= _LONGEST else line[:_LONGEST] + "…")


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"
