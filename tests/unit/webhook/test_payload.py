"""What Alertmanager really posted is read exactly; everything else is a PayloadError that says where."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.webhook.fingerprint import fingerprint
from remediator.webhook.payload import MAX_VALUE, Payload, PayloadError, parse

PAYLOADS = Path(__file__).parents[2] / "data" / "payloads"
REAL = {path.stem: path.read_bytes() for path in sorted(PAYLOADS.glob("*.json"))}


def document(name: str = "resolved") -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(REAL[name])
    return loaded


def body(change: Callable[[dict[str, Any]], object]) -> bytes:
    changed = document()
    change(changed)
    return json.dumps(changed).encode()


def refused(content: bytes, content_type: str | None = "application/json") -> PayloadError:
    with pytest.raises(PayloadError) as error:
        parse(content, content_type)
    return error.value


def test_the_captured_payloads_are_there() -> None:
    assert len(REAL) == 4


def test_a_mixed_group_is_read_alert_by_alert() -> None:
    payload = parse(REAL["mixed-1-resolved-1-firing"], "application/json")
    assert payload.status == "firing"
    assert payload.receiver == "capture"
    assert payload.group_key == '{}:{alertname="HostDown"}'
    first, second = payload.alerts
    assert (first.status, second.status) == ("resolved", "firing")
    assert first.ends_at == 1795333823.0
    assert second.ends_at is None
    assert first.starts_at_text == "2026-11-22T07:50:19.483950262Z"
    assert first.starts_at == 1795333819.483
    assert first.key == "d33981e1927f3d5c/2026-11-22T07:50:19.483Z/resolved"
    assert first.severity == "critical"
    assert first.metric_id is None
    assert first.resource is None


def test_firing_and_resolved_of_one_alert_differ_only_in_status() -> None:
    firing = {alert.fingerprint: alert for alert in parse(REAL["firing-2-alerts"]).alerts}
    resolved = parse(REAL["resolved"]).alerts[0]
    other = firing[resolved.fingerprint]
    assert other.key != resolved.key
    assert other.starts == resolved.starts


def test_truncation_is_told() -> None:
    assert parse(REAL["firing-truncated"]).truncated_alerts == 3


@pytest.mark.parametrize("name", REAL)
def test_a_missing_fingerprint_is_computed_as_alertmanager_does(name: str) -> None:
    without = document(name)
    given_ones = [alert.pop("fingerprint") for alert in without["alerts"]]
    assert [alert.fingerprint for alert in parse(json.dumps(without).encode()).alerts] == given_ones


def test_fingerprint_of_no_labels_and_of_utf8() -> None:
    # Both taken from prometheus/common: the offset basis of FNV-1a, and bytes rather than characters.
    assert fingerprint({}) == "cbf29ce484222325"
    assert fingerprint({"a": "ü"}) != fingerprint({"a": "u"})
    assert fingerprint({"b": "2", "a": "1"}) == fingerprint({"a": "1", "b": "2"})


def test_equal_instants_in_other_writing_have_one_key() -> None:
    utc = parse(body(lambda d: d["alerts"][0].update(startsAt="2026-11-22T07:50:19.5Z"))).alerts[0]
    offset = parse(body(lambda d: d["alerts"][0].update(startsAt="2026-11-22T08:50:19.500+01:00"))).alerts[0]
    assert utc.key == offset.key
    assert utc.starts_at == offset.starts_at
    assert offset.starts_at_text == "2026-11-22T08:50:19.500+01:00"


def test_unknown_fields_are_ignored_at_every_level() -> None:
    def add(d: dict[str, Any]) -> None:
        d["notificationReason"] = {"of": ["the future"]}
        d["alerts"][0]["unheard"] = [1, None]

    assert parse(body(add)) == parse(REAL["resolved"])


def test_an_empty_list_of_alerts_is_a_payload() -> None:
    assert parse(body(lambda d: d.update(alerts=[]))).alerts == ()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d.pop("version"), "$.version"),
        (lambda d: d.update(version=4), "$.version"),
        (lambda d: d.update(version="5"), "$.version"),
        (lambda d: d.update(status="pending"), "$.status"),
        (lambda d: d.update(status=None), "$.status"),
        (lambda d: d.update(receiver=1), "$.receiver"),
        (lambda d: d.update(groupKey=[]), "$.groupKey"),
        (lambda d: d.update(truncatedAlerts=True), "$.truncatedAlerts"),
        (lambda d: d.update(truncatedAlerts=-1), "$.truncatedAlerts"),
        (lambda d: d.update(truncatedAlerts=1.5), "$.truncatedAlerts"),
        (lambda d: d.pop("alerts"), "$.alerts"),
        (lambda d: d.update(alerts=None), "$.alerts"),
        (lambda d: d.update(alerts={}), "$.alerts"),
        (lambda d: d["alerts"].append("x"), "$.alerts[1]"),
        (lambda d: d["alerts"][0].pop("status"), "$.alerts[0].status"),
        (lambda d: d["alerts"][0].update(status="Firing"), "$.alerts[0].status"),
        (lambda d: d["alerts"][0].pop("labels"), "$.alerts[0].labels"),
        (lambda d: d["alerts"][0].update(labels={}), "$.alerts[0].labels"),
        (lambda d: d["alerts"][0].update(labels=[["a", "b"]]), "$.alerts[0].labels"),
        (lambda d: d["alerts"][0]["labels"].update(a=1), '$.alerts[0].labels["a"]'),
        (lambda d: d["alerts"][0]["labels"].update({"": "x"}), '$.alerts[0].labels[""]'),
        (lambda d: d["alerts"][0]["labels"].update({"x" * 300: ""}), '$.alerts[0].labels["xxx'),
        (lambda d: d["alerts"][0]["annotations"].update(a=None), '$.alerts[0].annotations["a"]'),
        (lambda d: d["alerts"][0].pop("startsAt"), "$.alerts[0].startsAt"),
        (lambda d: d["alerts"][0].update(startsAt="yesterday"), "$.alerts[0].startsAt"),
        (lambda d: d["alerts"][0].update(startsAt="2026-02-30T00:00:00Z"), "$.alerts[0].startsAt"),
        (lambda d: d["alerts"][0].update(startsAt="2026-02-03T00:00:00"), "$.alerts[0].startsAt"),
        (lambda d: d["alerts"][0].update(startsAt=1795333819), "$.alerts[0].startsAt"),
        (lambda d: d["alerts"][0].update(startsAt="0001-01-01T00:00:00+01:00"), "$.alerts[0].startsAt"),
        (lambda d: d["alerts"][0].update(endsAt=False), "$.alerts[0].endsAt"),
        (lambda d: d["alerts"][0].update(fingerprint=7), "$.alerts[0].fingerprint"),
        (lambda d: d["alerts"][0].update(fingerprint="a b"), "$.alerts[0].fingerprint"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(change: Callable[[dict[str, Any]], object], place: str) -> None:
    error = refused(body(change))
    assert error.status == 422
    assert error.detail.startswith(place)
    assert len(error.detail) < 200


@pytest.mark.parametrize("content", [b"[]", b"null", b"7", b'"x"', b"{}"])
def test_json_of_another_kind_is_not_a_payload(content: bytes) -> None:
    assert refused(content).status == 422


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        REAL["resolved"][:-40],
        REAL["resolved"] + b"{}",
        b"\xff\xfe" + REAL["resolved"],
        b"\xef\xbb\xbf" + REAL["resolved"],
        REAL["resolved"].replace(b"web-02", b"web-\xc3\x28"),
        b"[" * 200_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"version": NaN}',
        b'{"truncatedAlerts": ' + b"9" * 10_000 + b"}",
        b'{"a": "\x00"}',
        b"[\"\\ud800\"," + b"[" * 500 + b"]" * 500 + b"]" * 0,
    ],
)  # fmt: skip
def test_what_is_not_json_is_400(content: bytes) -> None:
    error = refused(content)
    assert error.status == 400
    assert len(error.detail) < 200


def test_a_key_that_stands_twice_is_refused() -> None:
    twice = REAL["resolved"].replace(b'"status":"resolved",', b'"status":"resolved","status":"firing",', 1)
    error = refused(twice)
    assert error.status == 422
    assert '"status"' in error.detail


def test_many_keys_with_one_twice_are_refused_at_once() -> None:
    many = b"{" + b",".join(b'"%d":1' % number for number in range(200_000)) + b',"0":1}'
    assert refused(many).status == 422


def test_the_declared_media_type_does_not_matter_but_a_foreign_charset_does() -> None:
    for media in (None, "", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=UTF-8"):
        assert parse(REAL["resolved"], media)
    assert refused(REAL["resolved"], "application/json; charset=latin-1").status == 415


def test_nul_and_lone_surrogates_are_replaced() -> None:
    def spoil(d: dict[str, Any]) -> None:
        d["alerts"][0]["labels"].update(resource="a\x00b", other="\ud800x")
        d["receiver"] = "\udfff"

    payload = parse(body(spoil))
    alert = payload.alerts[0]
    assert alert.resource == "a�b"
    assert alert.labels["other"] == "�x"
    assert payload.receiver == "�"
    json.dumps(dict(alert.labels), ensure_ascii=False).encode()


def test_pairs_of_surrogates_are_characters() -> None:
    assert parse(body(lambda d: d["alerts"][0]["labels"].update(resource="😀"))).alerts[0].resource == "😀"


def test_a_value_of_megabytes_is_cut_and_the_identity_kept() -> None:
    huge = "x" * 1_000_000
    cut = parse(body(lambda d: d["alerts"][0]["labels"].update(resource=huge))).alerts[0]
    assert cut.resource is not None
    assert len(cut.resource) <= MAX_VALUE
    assert "characters)" in cut.resource
    one, other = (
        parse(body(lambda d, v=v: (d["alerts"][0].pop("fingerprint"), d["alerts"][0]["labels"].update(x=huge + v))))
        for v in "ab"
    )
    assert one.alerts[0].key != other.alerts[0].key


def _outcome(content: bytes, content_type: str | None) -> Payload | PayloadError:
    try:
        return parse(content, content_type)
    except PayloadError as error:
        return error


def _payload_or_error(content: bytes, content_type: str | None = None) -> None:
    outcome = _outcome(content, content_type)
    if isinstance(outcome, PayloadError):
        assert outcome.status in (400, 415, 422)
        assert outcome.title
        assert outcome.detail.encode()
        return
    for alert in outcome.alerts:
        assert alert.key
        json.dumps([dict(alert.labels), dict(alert.annotations)], ensure_ascii=False).encode()


@given(st.binary(max_size=300), st.none() | st.text(max_size=40))
def test_random_bytes_give_a_payload_or_an_error(content: bytes, content_type: str | None) -> None:
    _payload_or_error(content, content_type)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_random_json_gives_a_payload_or_an_error(value: object) -> None:
    _payload_or_error(json.dumps(value).encode())


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


@given(st.sampled_from(sorted(REAL)), st.randoms(use_true_random=False), JSON_VALUES, st.integers(1, 3))
def test_a_real_payload_with_any_part_replaced(name: str, chance: random.Random, value: object, times: int) -> None:
    changed: Any = document(name)
    for _ in range(times):
        place = chance.choice(_places(changed)[1:] or [()])
        if not place:
            break
        holder = changed
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = copy.deepcopy(value)
    _payload_or_error(json.dumps(changed).encode())


@given(st.sampled_from(sorted(REAL)), st.data())
def test_a_real_payload_with_bytes_flipped_or_cut(name: str, data: st.DataObject) -> None:
    content = bytearray(REAL[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    _payload_or_error(
        bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    )
