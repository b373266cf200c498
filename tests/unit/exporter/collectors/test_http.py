from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from catalog.model import Catalog
from exporter.collectors.base import CollectError, Setting
from exporter.collectors.http import MAX_DOCUMENT, HttpCollector, HttpConfig
from exporter.collectors.json_path import JsonPath
from exporter.collectors.rows import MAX_ROWS
from exporter.families import Measured, Reading

DOCUMENT = {
    "queue": {"waiting": 3, "oldest": "2026-01-31T12:00:00Z", "it's": [1, {"deep": 5}], "none": None, "word": "many"},
    "shops": [{"name": "north", "load": 35, "state": "open"}, {"name": "south", "load": None, "state": "shut"}],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.queue.waiting", [3]),
        ("$['queue'][\"waiting\"]", [3]),
        (r"$.queue['it\'s'][1].deep", [5]),
        ("$.queue['it\\'s'][-2]", [1]),
        ("$.shops[*].name", ["north", "south"]),
        ("$.shops[ 0 ].name", ["north"]),
        ("$.queue.*", list(DOCUMENT["queue"].values())),
        ("$", [DOCUMENT]),
        ("$.queue.nothing", []),
        ("$.queue[0]", []),
        ("$.shops.name", []),
        ("$.shops[7]", []),
        ("$.shops[-3]", []),
        ("$.queue.waiting[*]", []),
    ],
)
def test_a_path_names_places(path: str, found: list[Any]) -> None:
    assert JsonPath.parse(path).find(DOCUMENT) == found


@pytest.mark.parametrize(
    "path",
    ["", "queue", "$queue", "$..queue", "$.", "$.a[", "$.a[1:2]", "$.a[?@.b]", "$.a[01]", "$[a]", "$.a b", "$.1"],
)
def test_what_is_no_such_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not understood"):
        JsonPath.parse(path)


class Endpoint:
    """Answers `document`; what it was asked with is kept."""

    def __init__(self) -> None:
        self.document: Any = DOCUMENT
        self.answer: web.Response | None = None
        self.headers: list[str] = []
        app = web.Application()
        app.router.add_get("/stats", self.handle)
        self.server = TestServer(app)

    async def handle(self, request: web.Request) -> web.Response:
        self.headers.append(request.headers.get("Authorization", ""))
        return self.answer or web.json_response(self.document)

    def config(self, *readings: dict[str, Any], **changed: Any) -> HttpConfig:
        reading = {
            "metric_ids": ["orders.backlog"],
            "resource": "shop",
            "values": {"orders_backlog": "$.queue.waiting"},
        }
        url = str(self.server.make_url("/stats"))
        found = [{**reading, **each} for each in readings or ({},)]
        found = [{key: value for key, value in each.items() if value is not None} for each in found]
        return HttpConfig.model_validate(
            {"name": "shop", "collector": "http", "url": url, "readings": found, **changed}
        )


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    found = Endpoint()
    async with found.server:
        yield found


async def collect(config: HttpConfig, catalog: Catalog) -> Reading:
    assert not list(config.faults(catalog))
    collector = HttpCollector(config, Setting(catalog, 15.0))
    try:
        (probe,) = collector.probes
        return await probe.collect()
    finally:
        await collector.close()


async def test_one_request_and_many_readings(endpoint: Endpoint, shop: Catalog, values: Any) -> None:
    load = {
        "metric_ids": ["orders.load"],
        "each": "$.shops[*]",
        "resource": None,
        "resource_at": "$.name",
        "labels": {"state": "$.state"},
        "values": {"orders_load_ratio": "$.load"},
        "unit": "percent",
    }
    oldest = {
        "metric_ids": ["executor.task_latency"],
        "values": {"grace_executor_oldest_task_timestamp_seconds": "$.queue.oldest"},
    }
    reading = await collect(endpoint.config({}, load, oldest), shop)
    assert values(reading) == {
        "orders_backlog{resource=shop}": 3,
        "orders_load_ratio{resource=north,state=open}": 0.35,
        "grace_executor_oldest_task_timestamp_seconds{resource=shop}": 1769860800,
    }
    # The one whose value is null was measured all the same.
    assert Measured("orders.load", "south") in reading.measured
    assert len(endpoint.headers) == 1


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("$.queue.nothing", "the document has no $.queue.nothing"),
        ("$.queue.word", "$.queue.word holds text, not a number"),
        ("$.shops", "$.shops holds a list"),
        ("$.queue", "$.queue holds an object"),
    ],
)
async def test_what_is_no_number_is_a_failure(endpoint: Endpoint, shop: Catalog, path: str, said: str) -> None:
    with pytest.raises(CollectError, match=said.replace("$", r"\$")):
        await collect(endpoint.config({"values": {"orders_backlog": path}}), shop)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), 10**400])
async def test_null_and_no_finite_number_are_absent(endpoint: Endpoint, shop: Catalog, value: Any) -> None:
    endpoint.document = {"queue": {"waiting": value}}
    assert not (await collect(endpoint.config(), shop)).families


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: web.Response(status=500), "answered 500"),
        (lambda: web.Response(status=302, headers={"Location": "http://elsewhere/"}), "answered 302"),
        (lambda: web.Response(text="hello"), "did not answer JSON"),
        (lambda: web.Response(body=b"\xff"), "did not answer JSON"),
        (lambda: web.Response(text="[" * 200_000), "did not answer JSON"),
        (lambda: web.Response(text="[" + " " * MAX_DOCUMENT + "]"), "more than 4096 KiB"),
    ],
)
async def test_another_answer_is_a_failure(endpoint: Endpoint, shop: Catalog, answer: Any, said: str) -> None:
    endpoint.answer = answer()
    with pytest.raises(CollectError, match=said):
        await collect(endpoint.config(), shop)


async def test_too_many_elements_are_a_failure(endpoint: Endpoint, shop: Catalog) -> None:
    endpoint.document = [{"name": str(number), "waiting": 1} for number in range(MAX_ROWS + 1)]
    every = {"each": "$[*]", "resource": None, "resource_at": "$.name", "values": {"orders_backlog": "$.waiting"}}
    with pytest.raises(CollectError, match="more than 10000 elements"):
        await collect(endpoint.config(every), shop)


async def test_who_asks_is_told_by_files(endpoint: Endpoint, shop: Catalog, tmp_path: Path) -> None:
    token, password = tmp_path / "token", tmp_path / "password"
    token.write_text("secret one\n")
    password.write_text("pässword\n")
    await collect(endpoint.config(token_file=token), shop)
    await collect(endpoint.config(username="ann", password_file=password), shop)
    assert endpoint.headers[0] == "Bearer secret one"
    scheme, _, encoded = endpoint.headers[1].partition(" ")
    assert (scheme, b64decode(encoded).decode()) == ("Basic", "ann:pässword")
    token.unlink()
    with pytest.raises(CollectError, match=r"the token file .* cannot be read"):
        await collect(endpoint.config(token_file=token), shop)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "ftp://x/"}, "an http:// or https:// URL"),
        ({"url": "http://ann:hunter2@x/"}, "does not belong into a URL"),
        ({"url": "http://[x/"}, "not a URL"),
        ({"url": "http://ann:secret/hunter2@x/"}, "not a URL"),
        ({"username": "ann"}, "belong together"),
        ({"username": "ann", "password_file": "p", "token_file": "t"}, "not both"),
    ],
)
def test_what_does_not_fit_the_request(shop: Catalog, change: dict[str, Any], said: str) -> None:
    config = HttpConfig.model_validate(
        {
            "name": "shop",
            "collector": "http",
            "url": "http://x/",
            "readings": [{"metric_ids": ["orders.backlog"], "resource": "a", "values": {"orders_backlog": "$.a"}}],
            **change,
        }
    )
    faults = str(list(config.faults(shop)))
    assert said in faults
    assert "hunter2" not in faults


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metric_ids": ["orders.backlogg"]}, 'did you mean "orders.backlog"'),
        ({"values": {"orders_backlogs": "$.a"}}, "no metric of this reading is derived from"),
        ({"values": {"orders_backlog": "$.a[*]"}}, 'name the elements with "each"'),
        ({"resource_at": "$.name"}, 'one of "resource" and "resource_at"'),
        ({"labels": {"a-b": "$.a"}}, "cannot be the name of a label"),
    ],
)
async def test_what_does_not_fit_the_catalog(
    endpoint: Endpoint, shop: Catalog, change: dict[str, Any], said: str
) -> None:
    assert said in str(list(endpoint.config(change).faults(shop)))


async def test_a_wrong_path_is_a_fault_of_the_file(endpoint: Endpoint) -> None:
    with pytest.raises(ValidationError, match="is not understood"):
        endpoint.config({"values": {"orders_backlog": "$..a"}})


@pytest.mark.parametrize("answer", [web.Response(status=500), web.Response(text="no JSON"), None])
async def test_what_stands_in_a_query_is_never_told(
    endpoint: Endpoint, shop: Catalog, answer: web.Response | None
) -> None:
    endpoint.answer = answer
    config = endpoint.config(url=str(endpoint.server.make_url("/stats?key=hunter2")))
    if answer is None:
        await endpoint.server.close()
    with pytest.raises(CollectError, match="/stats ") as failed:
        await collect(config, shop)
    assert "hunter2" not in str(failed.value)
