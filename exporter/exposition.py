"""Families as the bytes that Prometheus reads: text format 0.0.4 and OpenMetrics 1.0, plain or gzipped.

Sample lines are the same in both formats: they are rendered (and, where there are many, deflated) once for each
collection, in the thread that collected. Only headers differ.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import NamedTuple

from exporter.families import SAMPLE_TIME, Family, Kind, Labels, Sample

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_HELP_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n"})
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
GZIP_LEVEL = 1
PACKED_FROM = 16 * 1024
"""Bytes of one family's lines from which they are deflated by themselves, where they are rendered."""


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
    """One family's samples as they are sent.

    `values` has each one's value by its key (name and labels), by which two families' samples are told apart when they
    are joined. `text` has them as lines, and `packed` these lines deflated, where there are many.
    """

    name: str
    kind: Kind
    help: str
    values: Mapping[str, str]
    text: bytes
    packed: bytes = b""


def render(family: Family, most_series: int) -> tuple[Rendered, int]:
    """The family's lines, each series once and at most `most_series` of them, and how many series were dropped.

    A histogram counts as one series for each set of labels, and is kept or dropped whole. Any thread may do this.
    """
    values: dict[str, str] = {}
    series: dict[Labels, bool] = {}
    dropped = 0
    histogram = family.kind is Kind.HISTOGRAM
    for sample in family.samples:
        which = identity(sample) if histogram else sample.labels
        if which not in series:
            series[which] = len(series) < most_series
            dropped += not series[which]
        if not series[which]:
            continue
        key = f"{family.name}{sample.suffix}{_label_text(sample.labels)}"
        if key in values:
            dropped += 1
            continue
        values[key] = number_text(sample.value)
    return _written(family.name, family.kind, family.help, values), dropped


def _written(name: str, kind: Kind, help_text: str, values: Mapping[str, str]) -> Rendered:
    text = "".join([f"{key} {value}\n" for key, value in values.items()]).encode()
    return Rendered(name, kind, help_text, values, text, deflated(text) if len(text) >= PACKED_FROM else b"")


def identity(sample: Sample) -> Labels:
    """The labels that the sample's series has: those of a histogram's bucket without its bound."""
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


def join(rendered: Iterable[Rendered], form: Format) -> tuple[Body, int]:
    """All families, each once with its header, and how many samples were dropped because another one was first."""
    groups: dict[str, list[Rendered]] = {}
    for each in rendered:
        groups.setdefault(each.name, []).append(each)
    pieces: list[Piece] = []
    dropped = 0
    for name in sorted(groups):
        group = groups[name]
        pieces.append(Piece(header(group[0], form).encode()))
        if not _distinct(group):
            merged, refused = _merged(group)
            group, dropped = [merged], dropped + refused
        pieces.extend(Piece(each.text, each.packed) for each in group)
    return Body(pieces), dropped


def _distinct(group: Sequence[Rendered]) -> bool:
    if len(group) == 1:
        return True
    # In one go: this stands between a collection and the next scrape.
    together = set[str]().union(*(each.values for each in group))
    return len(together) == sum(len(each.values) for each in group) and len({each.kind for each in group}) == 1


def _merged(group: Sequence[Rendered]) -> tuple[Rendered, int]:
    """Of every series the first sample, of the first one's kind. Of times of measurements the newest is kept."""
    first = group[0]
    values = dict(first.values)
    dropped = 0
    for each in group[1:]:
        for key, value in each.values.items():
            if each.kind is first.kind and key not in values:
                values[key] = value
            elif first.name == SAMPLE_TIME:
                values[key] = max(value, values[key], key=float)
            else:
                dropped += 1
    return _written(first.name, first.kind, first.help, values), dropped


def header(family: Rendered, form: Format) -> str:
    """The HELP and TYPE lines. OpenMetrics names a counter without `_total`, and escapes quotes."""
    name = family.name
    text = family.help.translate(_HELP_ESCAPES)
    if form is Format.OPENMETRICS:
        text = family.help.translate(_ESCAPES)
        if family.kind is Kind.COUNTER:
            name = name.removesuffix("_total")
    return f"# HELP {name} {text}\n# TYPE {name} {family.kind}\n"


class Piece(NamedTuple):
    """Some of a body's bytes, and what they are when deflated, where that is known already."""

    text: bytes
    packed: bytes = b""


class Body:
    """The part of an answer that stays the same between collections; a fresh tail is appended for each scrape.

    Its gzip is one member with one stream, which every reader takes: pieces that were deflated when they were collected
    are put together with the others, which are deflated once, and the tail follows as it is, in a stored block. So a
    scrape compresses nothing, and as little of it as can be waits for threads that collect.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.size = sum(len(piece.text) for piece in pieces)
        """Bytes, without tail."""
        self._pieces: Sequence[Piece] = pieces
        self._content: bytes | None = None
        self._packed: bytes | None = None
        self._checksum = 0

    @property
    def content(self) -> bytes:
        """All of it."""
        if self._content is None:
            self._content = b"".join([piece.text for piece in self._pieces])
        return self._content

    def plain(self, tail: bytes) -> bytes:
        """As it is."""
        return self.content + tail

    def gzipped(self, tail: bytes) -> bytes:
        """As a gzip file of one member. The tail has less than 64 KiB."""
        if self._packed is None:
            self._packed = b"".join(_packed(self._pieces))
            for piece in self._pieces:
                self._checksum = zlib.crc32(piece.text, self._checksum)
        stored = struct.pack("<BHH", 1, len(tail), len(tail) ^ 0xFFFF)
        end = struct.pack("<II", zlib.crc32(tail, self._checksum), (self.size + len(tail)) & 0xFFFFFFFF)
        return b"".join((_GZIP_HEADER, self._packed, stored, tail, end))


def _packed(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """Deflated; small neighbours together."""
    for known, group in groupby(pieces, key=lambda piece: bool(piece.packed)):
        if known:
            yield from (piece.packed for piece in group)
        else:
            yield deflated(b"".join([piece.text for piece in group]))


def deflated(text: bytes) -> bytes:
    """A part of a deflate stream, which ends on a byte and needs nothing that went before it."""
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush(zlib.Z_FULL_FLUSH)


def render_all(families: Sequence[Family]) -> tuple[Rendered, ...]:
    """Families of our own making, uncapped."""
    return tuple(render(each, 1_000_000)[0] for each in families)
