import gzip
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.exposition import Body, Format, Piece, deflated, join, negotiate, render, render_all
from exporter.families import MAX_LABEL_VALUE, Family, Kind, Sample, clean, family, labels_of

TEXTS = st.text(st.characters(exclude_categories=()), max_size=40)


@given(st.lists(st.tuples(TEXTS, st.floats(allow_nan=False)), max_size=8, unique_by=lambda pair: clean(pair[0])))
def test_whatever_a_label_holds_both_formats_read_back_the_same(rows: list[tuple[str, float]]) -> None:
    samples = [Sample(labels_of({"resource": text}), value) for text, value in rows]
    counters = [Sample(labels, abs(value)) for labels, value, _ in samples]
    rendered = render_all(
        [family("grace_a", samples, help_text='A "help"\nwith \\.'), family("grace_b_total", counters)]
    )
    expected = {("grace_a", labels[0][1], value) for labels, value, _ in samples}
    expected |= {("grace_b_total", labels[0][1], value) for labels, value, _ in counters}
    text, _ = join(rendered, Format.TEXT)
    openmetrics, _ = join(rendered, Format.OPENMETRICS)
    texts = text.content.decode(), openmetrics.content.decode() + "# EOF\n"
    for found in (parse_text(texts[0]), parse_openmetrics(texts[1])):
        read = {(sample.name, sample.labels["resource"], sample.value) for each in found for sample in each.samples}
        assert read == expected


def test_a_hostile_label_value_is_cut_and_cleaned() -> None:
    assert clean("a\x00b\ud800\u2028") == "a\ufffdb\ufffd\ufffd"
    assert clean('say "hi"\n') == 'say "hi"\n'
    assert len(clean("x" * 10_000)) == MAX_LABEL_VALUE


def test_a_histogram_is_strict_openmetrics() -> None:
    rows = [
        *(Sample(labels_of({"resource": "a", "le": le}), n, "_bucket") for le, n in (("0.35", 1), ("+Inf", 3))),
        Sample(labels_of({"resource": "a"}), 3, "_count"),
        Sample(labels_of({"resource": "a"}), 1.25, "_sum"),
    ]
    text, _ = join(render_all([Family("grace_x_seconds", Kind.HISTOGRAM, "Help.", tuple(rows))]), Format.OPENMETRICS)
    (found,) = parse_openmetrics(text.content.decode() + "# EOF\n")
    assert found.type == "histogram"
    assert len(found.samples) == 4


def test_series_over_the_cap_are_dropped_and_counted_and_histograms_stay_whole() -> None:
    gauges = family("grace_a", [Sample(labels_of({"resource": str(n)}), n) for n in range(10)])
    rendered, dropped = render(gauges, 4)
    assert (len(rendered.values), dropped) == (4, 6)
    buckets = [
        Sample(labels_of({"resource": str(n), "le": le}), 1, "_bucket") for n in range(3) for le in ("1.0", "+Inf")
    ]
    rendered, dropped = render(Family("grace_h", Kind.HISTOGRAM, "Help.", tuple(buckets)), 2)
    assert (len(rendered.values), dropped) == (4, 1)


def test_one_series_is_exposed_once_whoever_gives_it() -> None:
    twice = family("grace_a", [Sample(labels_of({"resource": "a"}), 1), Sample(labels_of({"resource": "a"}), 2)])
    assert render(twice, 10) == (render(family("grace_a", twice.samples[:1]), 10)[0], 1)
    one, two = (render_all([family("grace_a", [Sample((("resource", "a"),), value)])])[0] for value in (1, 2))
    body, dropped = join([one, two], Format.TEXT)
    assert dropped == 1
    assert body.content.decode().splitlines()[2:] == ['grace_a{resource="a"} 1.0']
    other_kind = render_all([Family("grace_a", Kind.COUNTER, "Help.", (Sample((("resource", "b"),), 1),))])[0]
    assert join([one, other_kind], Format.TEXT)[1] == 1


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e300, 5, -0.0])
def test_numbers_are_written_as_prometheus_reads_them(value: float) -> None:
    body, _ = join(render_all([family("grace_a", [Sample((), value)])]), Format.TEXT)
    (found,) = parse_text(body.content.decode())
    assert repr(found.samples[0].value) == repr(float(value))


PIECES = st.lists(st.tuples(st.binary(max_size=2000), st.booleans()), max_size=6)


@given(PIECES, st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_a_kept_gzip_with_a_fresh_tail_is_one_whole_stream(
    pieces: list[tuple[bytes, bool]], tails: list[bytes]
) -> None:
    content = b"".join(text for text, _ in pieces)
    body = Body([Piece(text, deflated(text) if known else b"") for text, known in pieces])
    assert body.size == len(content)
    for tail in tails:
        packed = body.gzipped(tail)
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            assert file.read() == content + tail
        assert body.plain(tail) == content + tail


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/html,application/xhtml+xml", Format.TEXT),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Format.OPENMETRICS,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5",
            Format.OPENMETRICS,
        ),
        ("application/openmetrics-text;version=2.0.0;q=0.9,text/plain;q=0.5", Format.TEXT),
        ("application/openmetrics-text; version=1.0.0; q=0.1, text/plain; q=0.9", Format.TEXT),
        ("application/openmetrics-text;q=high", Format.TEXT),
        (";;;,=,q=1;", Format.TEXT),
    ],
)
def test_a_scraper_gets_the_format_it_prefers(accept: str, form: Format) -> None:
    assert negotiate(accept) is form
