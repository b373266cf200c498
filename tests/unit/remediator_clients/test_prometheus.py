"""Prometheus' answers, and its failures as Grace's errors."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from catalog.model import Band
from remediator import prometheus
from remediator.credentials import Credentials
from remediator.errors import GraceError, Permanent, Transient
from remediator.prometheus import Measurement, Prometheus, Sample


def success(kind: str, result: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


async def test_a_vector_with_every_kind_of_number(answering: Any, session: ClientSession) -> None:
    numbers = {"x": "1.5", "y": "NaN", "z": "+Inf"}
    answering.body = success("vector", [{"metric": {"a": a}, "value": [12.5, text]} for a, text in numbers.items()])
    samples = await Prometheus(session, answering.url).instant("up", at=1700000000.1234)
    assert samples[0] == Sample({"a": "x"}, 1.5, 12.5)
    assert math.isnan(samples[1].value)
    assert samples[2].value == math.inf
    method, path, form, _ = answering.asked[0]
    assert (method, path) == ("POST", "/api/v1/query")
    assert form["query"] == "up"
    assert form["time"] == "1700000000.123"


async def test_a_scalar_is_one_sample(answering: Any, session: ClientSession) -> None:
    answering.body = success("scalar", [3.0, "7"])
    assert await Prometheus(session, answering.url).instant("7") == (Sample({}, 7.0, 3.0),)


async def test_the_wrong_kind_of_result_is_permanent(answering: Any, session: ClientSession) -> None:
    client = Prometheus(session, answering.url)
    answering.body = success("string", [3.0, "7"])
    with pytest.raises(Permanent, match="string"):
        await client.instant('"7"')
    answering.body = success("vector", [])
    with pytest.raises(Permanent, match="range selector"):
        await client.matrix("up")
    answering.body = success("vector", [{"metric": {}, "histogram": [1, {}]}])
    with pytest.raises(Permanent, match="plain numbers"):
        await client.instant("native")


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (400, {"status": "error", "errorType": "bad_data", "error": "parse error: x"}, Permanent, "parse error"),
        (422, {"status": "error", "errorType": "execution", "error": "many-to-many"}, Permanent, "many-to-many"),
        (503, {"status": "error", "errorType": "timeout", "error": "query timed out"}, Transient, "timed out"),
        (429, {}, Transient, "429"),
        (502, "<html>", Transient, "502"),
        (401, "Unauthorized", Permanent, "401"),
        (404, "404 page not found", Permanent, "404"),
    ],
)  # fmt: skip
async def test_error_answers(
    answering: Any, session: ClientSession, status: int, body: Any, kind: type[GraceError], said: str
) -> None:
    answering.status, answering.body = status, json.dumps(body).encode()
    with pytest.raises(kind, match=said):
        await Prometheus(session, answering.url).instant("up")


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"{}", b'{"status":"success"}', b"[" * 100_000])
async def test_an_answer_that_is_not_prometheus(answering: Any, session: ClientSession, body: bytes) -> None:
    answering.body = body
    with pytest.raises(Permanent, match=r"url"):
        await Prometheus(session, answering.url).instant("up")


async def test_a_redirect_is_not_followed(answering: Any, session: ClientSession) -> None:
    answering.status, answering.headers = 302, {"Location": "http://elsewhere.example/"}
    with pytest.raises(Permanent, match=r"elsewhere\.example"):
        await Prometheus(session, answering.url).instant("up")


async def test_silence_and_absence_are_transient(answering: Any, session: ClientSession, free_port: Any) -> None:
    answering.silent = True
    with pytest.raises(Transient, match=r"0\.2 s"):
        await Prometheus(session, answering.url, timeout=0.2).instant("up")
    answering.silent, answering.cut = False, True
    with pytest.raises(Transient, match="cannot be reached"):
        await Prometheus(session, answering.url).instant("up")
    away = Prometheus(session, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Transient, match="cannot be reached"):
        await away.instant("up")
    assert not await away.reachable()


@pytest.mark.parametrize("url", ["", "localhost:9090", "ftp://localhost", "http://"])
async def test_a_url_that_is_none(session: ClientSession, url: str) -> None:
    with pytest.raises(Permanent, match="url"):
        await Prometheus(session, url).instant("up")


async def test_credentials_come_from_files_and_never_show(
    answering: Any, session: ClientSession, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    answering.body = success("vector", [])
    await Prometheus(session, answering.url, credentials=Credentials(bearer_token_file=secret)).instant("up")
    await Prometheus(session, answering.url, credentials=Credentials(username="u", password_file=secret)).instant("up")
    assert [headers["Authorization"] for *_, headers in answering.asked] == ["Bearer s3cret", "Basic dTpzM2NyZXQ="]
    assert "s3cret" not in repr(Credentials(bearer_token_file=secret))
    secret.unlink()
    with pytest.raises(Permanent, match="cannot be read"):
        await Prometheus(session, answering.url, credentials=Credentials(bearer_token_file=secret)).instant("up")


def points(name: str, *pairs: tuple[float, str]) -> dict[str, Any]:
    return {"metric": {"__name__": name}, "values": [list(pair) for pair in pairs]}


async def test_measurements_pair_values_with_bands_by_time(answering: Any, session: ClientSession) -> None:
    answering.body = success(
        "matrix",
        [
            points(
                "resource:grace_value:sample", (99.999, "1"), (100, "0.5"), (130, "0.8"), (160, "0.9"), (190, "NaN")
            ),
            points("resource:grace_band:sample", (100, "0"), (130, "1"), (160, "2")),
        ],
    )
    found = await Prometheus(session, answering.url).measurements("infra.cpu_utilization", 'a"b', 100, 200)
    assert found == (
        Measurement(100, 0.5, Band.GOOD),
        Measurement(130, 0.8, Band.WARNING),
        Measurement(160, 0.9, Band.CRITICAL),
    )
    query = answering.asked[0][2]["query"]
    assert 'metric_id="infra.cpu_utilization",resource="a\\"b"' in query
    assert query.endswith("[1m40s2ms]")


async def test_measurements_of_an_empty_stretch_ask_nothing(answering: Any, session: ClientSession) -> None:
    assert await Prometheus(session, answering.url).measurements("m", "r", 200, 100) == ()
    assert answering.asked == []


async def test_a_value_without_a_band_says_so(answering: Any, session: ClientSession) -> None:
    answering.body = success("matrix", [points(prometheus.VALUE, (100, "0.5"))])
    assert await Prometheus(session, answering.url).measurements("m", "r", 0, 200) == (Measurement(100, 0.5, None),)
