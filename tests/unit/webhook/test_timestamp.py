"""Go's times, both ways."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.webhook.timestamp import format_timestamp, parse_timestamp


@pytest.mark.parametrize(
    ("text", "utc", "seconds"),
    [
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", 0.0),
        ("1970-01-01T00:00:00.000000001Z", "1970-01-01T00:00:00.000000001Z", 1e-9),
        ("1970-01-01T01:00:00.500+01:00", "1970-01-01T00:00:00.5Z", 0.5),
        ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z", -0.5),
        ("2024-02-29T12:00:00-05:30", "2024-02-29T17:30:00Z", 1709227800.0),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", -62135596800.0),
    ],
)
def test_instants(text: str, utc: str, seconds: float) -> None:
    parsed = parse_timestamp(text)
    assert (parsed.text, parsed.utc, parsed.seconds) == (text, utc, seconds)


def test_the_zero_time_is_known() -> None:
    assert parse_timestamp("0001-01-01T00:00:00Z").is_zero
    assert not parse_timestamp("1970-01-01T00:00:00Z").is_zero


@pytest.mark.parametrize(
    "text",
    ["", "2026-11-22", "2026-11-22 07:50:19Z", "2026-11-22T07:50:60Z", "2026-13-01T00:00:00Z", "2026-11-22T24:00:00Z",
     "2026-11-22T07:50:19+0100", "2026-11-22T07:50:19+24:00", "2026-11-22t07:50:19z", "٢٠٢٦-11-22T07:50:19Z",
     "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00Z", "2026-11-22T07:50:19Z\n",
     "2026-11-22T07:50:19." + "1" * 30 + "Z"],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):
        parse_timestamp(text)


@given(st.integers(0, 4_000_000_000_000))
def test_written_to_the_millisecond_and_read_again(milliseconds: int) -> None:
    text = format_timestamp(milliseconds / 1000)
    assert parse_timestamp(text).seconds == pytest.approx(milliseconds / 1000, abs=1e-6)
    assert parse_timestamp(text).utc == text


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001
def test_agrees_with_datetime(moment: datetime) -> None:
    parsed = parse_timestamp(moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z")
    assert parsed.seconds == pytest.approx(moment.timestamp(), abs=1e-5)


def test_written_as_go_does() -> None:
    assert format_timestamp(1795333819.0) == "2026-11-22T07:50:19Z"
    assert format_timestamp(1795333819.48) == "2026-11-22T07:50:19.48Z"
    assert format_timestamp(1795333819.4839) == "2026-11-22T07:50:19.484Z"


@pytest.mark.parametrize(
    ("text", "coarse"),
    [
        ("2026-11-22T08:00:00Z", "2026-11-22T08:00:00Z"),
        ("2026-11-22T08:00:00.12Z", "2026-11-22T08:00:00.12Z"),
        ("2026-11-22T08:00:00.123999999Z", "2026-11-22T08:00:00.123Z"),
        ("2026-11-22T09:00:00.0009+01:00", "2026-11-22T08:00:00Z"),
    ],
)
def test_to_the_millisecond_an_instant_is_cut_as_alertmanagers_api_does(text: str, coarse: str) -> None:
    found = parse_timestamp(text).coarse
    assert found.utc == coarse
    assert found.seconds == parse_timestamp(coarse).seconds
    assert found.coarse == found
