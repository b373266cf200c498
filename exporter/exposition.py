"""Families as the bytes that Prometheus reads: text format 0.0.4 and OpenMetrics 1.0, plain or gzipped.

Sample lines are the same in both formats and are rendered once for each collection; only headers differ.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from exporter.families import Family, Kind, Labels, Sample

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_HELP_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n"})
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
GZIP_LEVEL = 1


class Format(Enum):
    """What a scraper may ask for, with its content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def negotiate(accept: str) -> Format:
    """The format that an `Accept` header prefers; text where it says nothing of OpenMetrics 1.0."""
    best, best_weight = Format.TEXT, 0.0
    for offer in accept.split(","):
        kind, *parameters = (part.strip() for part in offer.split(";"))
        said = dict(pair.partition("=")[::2] for pair in parameters)
        found = {"application/openmetrics-text": Format.OPENMETRICS, "text/plain": Format.TEXT}.get(kind)
        if found is Format.OPENMETRICS and said.get("version", "1.0.0") != "1.0.0":
            continue
        weight = _weight(said.get("q", "1"))
        if found is not None and weight > best_weight:
            best, best_weight = found, weight
    return best


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


@dataclass(frozen=True, slots=True)
class Rendered:
    """One family's sample lines. `keys` (name and labels) tell two families' samples apart when they are joined."""

    name: str
    kind: Kind
    help: str
    keys: tuple[str, ...]
    lines: tuple[str, ...]


def render(family: Family, most_series: int) -> tuple[Rendered, int]:
    """The family's lines, each series once and at most `most_series` of them, and how many series were dropped.

    A histogram counts as one series for each set of labels, and is kept or dropped whole.
    """
    keys: list[str] = []
    lines: list[str] = []
    seen: set[str] = set()
    series: dict[Labels, bool] = {}
    dropped = 0
    histogram = family.kind is Kind.HISTOGRAM
    for sample in family.samples:
        identity = _identity(sample) if histogram else sample.labels
        if identity not in series:
            series[identity] = len(series) < most_series
            dropped += not series[identity]
        if not series[identity]:
            continue
        key = f"{family.name}{sample.suffix}{_label_text(sample.labels)}"
        if key in seen:
            dropped += 1
            continue
        seen.add(key)
        keys.append(key)
        lines.append(f"{key} {number_text(sample.value)}\n")
    return Rendered(family.name, family.kind, family.help, tuple(keys), tuple(lines)), dropped


def _identity(sample: Sample) -> Labels:
    return tuple(pair for pair in sample.labels if pair[0] != "le") if sample.suffix == "_bucket" else sample.labels


def _label_text(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join([f'{name}="{_escaped(value)}"' for name, value in labels]) + "}"


def _escaped(value: str) -> str:
    # Most values need nothing: looking is ten times cheaper than translating.
    return value.translate(_ESCAPES) if "\\" in value or '"' in value or "\n" in value else value


def number_text(value: float) -> str:
    """The value as both formats write it."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))


def join(rendered: Iterable[Rendered], form: Format) -> tuple[bytes, int]:
    """All families, each once with its header, and how many samples were dropped because another one was first."""
    groups: dict[str, list[Rendered]] = {}
    for each in rendered:
        groups.setdefault(each.name, []).append(each)
    parts: list[str] = []
    dropped = 0
    for name in sorted(groups):
        group = groups[name]
        parts.append(header(group[0], form))
        if len(group) == 1:
            parts.extend(group[0].lines)
            continue
        taken: set[str] = set()
        for each in group:
            if each.kind is group[0].kind and taken.isdisjoint(each.keys):
                taken.update(each.keys)
                parts.extend(each.lines)
                continue
            fresh = [(key, line) for key, line in zip(each.keys, each.lines, strict=True) if key not in taken]
            if each.kind is not group[0].kind:
                fresh = []
            taken.update(key for key, _ in fresh)
            parts.extend(line for _, line in fresh)
            dropped += len(each.lines) - len(fresh)
    return "".join(parts).encode(), dropped


def header(family: Rendered, form: Format) -> str:
    """The HELP and TYPE lines. OpenMetrics names a counter without `_total`, and escapes quotes."""
    name = family.name
    text = family.help.translate(_HELP_ESCAPES)
    if form is Format.OPENMETRICS:
        text = family.help.translate(_ESCAPES)
        if family.kind is Kind.COUNTER:
            name = name.removesuffix("_total")
    return f"# HELP {name} {text}\n# TYPE {name} {family.kind}\n"


class Body:
    """The part of an answer that stays the same between collections; a fresh tail is appended for each scrape.

    Its gzip is one stream: the kept part is compressed once and ends on a byte boundary, the tail continues it.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._packed: bytes | None = None
        self._checksum = 0

    def plain(self, tail: bytes) -> bytes:
        return self.content + tail

    def gzipped(self, tail: bytes) -> bytes:
        if self._packed is None:
            packer = _deflater()
            self._packed = packer.compress(self.content) + packer.flush(zlib.Z_FULL_FLUSH)
            self._checksum = zlib.crc32(self.content)
        packer = _deflater()
        end = packer.compress(tail) + packer.flush()
        size = (len(self.content) + len(tail)) & 0xFFFFFFFF
        return _GZIP_HEADER + self._packed + end + struct.pack("<II", zlib.crc32(tail, self._checksum), size)


def _deflater() -> zlib._Compress:
    return zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)


def render_all(families: Sequence[Family]) -> tuple[Rendered, ...]:
    """Families of our own making, uncapped."""
    return tuple(render(each, 1_000_000)[0] for each in families)
