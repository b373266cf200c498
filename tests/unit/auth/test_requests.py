"""The middleware on a real server: what gets through, and what each refusal says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from remediator.auth.requests import authentication, identity_of, needs, open_to_all
from remediator.auth.tokens import Role, new_token


@needs(Role.ALERTMANAGER)
async def alerts(request: web.Request) -> web.Response:
    return web.Response(status=202)


@needs(Role.OPERATOR)
async def change(request: web.Request) -> web.Response:
    return web.json_response({"name": identity_of(request).name})


@needs(Role.VIEWER, open_on_loopback=True)
async def status(request: web.Request) -> web.Response:
    return web.json_response({"ok": True})


@open_to_all
async def healthy(request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def unmarked(request: web.Request) -> web.Response:
    return web.Response(text="secret")


class Page:
    @needs(Role.VIEWER)
    async def show(self, request: web.Request) -> web.Response:
        return web.Response(text=identity_of(request).name)


Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client(store: Any, clock: Any) -> AsyncIterator[Client]:
    app = web.Application(middlewares=[authentication(store, clock, hosts=["Grace.Example.ORG"])])
    app.add_routes(
        [
            web.post("/alerts", alerts),
            web.put("/change", change),
            web.get("/status", status),
            web.post("/status", status),
            web.get("/healthy", healthy),
            web.get("/unmarked", unmarked),
            web.get("/page", Page().show),
        ]
    )
    async with TestClient(TestServer(app)) as opened:
        yield opened


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def problem_of(response: Any) -> dict[str, Any]:
    assert response.content_type == "application/problem+json"
    document: dict[str, Any] = await response.json(content_type=None)
    assert document["status"] == response.status
    assert set(document) == {"type", "title", "status", "detail"}
    return document


async def test_a_token_with_the_role_gets_through_and_is_known_by_name(client: Client, store: Any) -> None:
    token = await store.issue("ada", Role.ADMIN)
    response = await client.put("/change", headers=bearer(token))
    assert response.status == 200
    assert await response.json() == {"name": "ada"}
    assert (await client.put("/change", headers={"Authorization": f"bearer  {token} "})).status == 200


async def test_methods_of_objects_are_handlers_too(client: Client, store: Any) -> None:
    response = await client.get("/page", headers=bearer(await store.issue("vi", Role.VIEWER)))
    assert await response.text() == "vi"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer "}])
async def test_without_a_token_401_says_what_to_send(client: Client, headers: dict[str, str]) -> None:
    response = await client.put("/change", headers=headers)
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="grace"'
    assert "Authorization: Bearer" in (await problem_of(response))["detail"]


async def test_an_unknown_or_revoked_token_is_401_and_is_not_repeated(client: Client, store: Any) -> None:
    token = await store.issue("ada", Role.ADMIN)
    await store.revoke("ada")
    for wrong in (token, new_token(), "grace_nonsense"):
        response = await client.put("/change", headers=bearer(wrong))
        assert response.status == 401
        assert wrong not in await response.text()


async def test_what_has_not_the_form_of_a_token_never_reaches_the_store(client: Client, store: Any) -> None:
    await client.put("/change", headers=bearer("x" * 5000))
    assert store.asked == 0


async def test_a_weaker_role_is_403(client: Client, store: Any) -> None:
    for role in (Role.VIEWER, Role.APPROVER, Role.ALERTMANAGER):
        response = await client.put("/change", headers=bearer(await store.issue(role.value, role)))
        assert response.status == 403
        assert "operator" in (await problem_of(response))["detail"]
    response = await client.post("/alerts", headers=bearer(await store.issue("root", Role.ADMIN)))
    assert response.status == 403


async def test_a_handler_that_says_nothing_needs_an_admin(client: Client, store: Any) -> None:
    assert (await client.get("/unmarked", headers=bearer(await store.issue("o", Role.OPERATOR)))).status == 403
    assert (await client.get("/unmarked", headers=bearer(await store.issue("a", Role.ADMIN)))).status == 200


async def test_open_handlers_need_no_token(client: Client) -> None:
    assert (await client.get("/healthy")).status == 200
    assert (await client.get("/nowhere")).status == 404


async def test_open_on_loopback_is_for_reading_and_not_through_a_proxy(client: Client, store: Any) -> None:
    assert (await client.get("/status")).status == 200
    assert (await client.post("/status")).status == 401
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
        assert (await client.get("/status", headers={header: "203.0.113.7"})).status == 401
    assert (await client.get("/status", headers=bearer("grace_wrong"))).status == 401, "a wrong token is not ignored"


async def test_a_host_that_is_not_ours_is_403_even_where_all_is_open(client: Client) -> None:
    for host, expected in (("evil.example", 403), ("grace.example.org:9782", 200), ("localhost", 200)):
        response = await client.get("/healthy", headers={"Host": host})
        assert response.status == expected, host


async def test_a_page_of_another_site_is_403_with_a_good_token(client: Client, store: Any) -> None:
    token = bearer(await store.issue("ada", Role.ADMIN))
    own = f"http://{client.host}:{client.port}"
    for headers, expected in (
        ({"Origin": own}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": own}, 200),
    ):
        assert (await client.put("/change", headers={**token, **headers})).status == expected, headers
    assert (await client.get("/healthy", headers={"Sec-Fetch-Site": "cross-site"})).status == 200, "a link to us"


async def test_a_peer_that_keeps_failing_is_told_to_wait_but_a_valid_token_still_passes(
    client: Client, store: Any, clock: Any
) -> None:
    answers = [await client.post("/alerts", headers=bearer(new_token())) for _ in range(12)]
    assert [answer.status for answer in answers] == [401] * 10 + [429] * 2
    assert answers[-1].headers["Retry-After"] == "6"
    await problem_of(answers[-1])
    token = await store.issue("am", Role.ALERTMANAGER)
    assert (await client.post("/alerts", headers=bearer(token))).status == 202
    clock.time += 6
    assert (await client.post("/alerts")).status == 401


async def test_a_store_that_is_away_is_503_so_that_alertmanager_tries_again(client: Client, store: Any) -> None:
    token = await store.issue("am", Role.ALERTMANAGER)
    store.away = True
    response = await client.post("/alerts", headers=bearer(token))
    assert response.status == 503
    assert response.headers["Retry-After"] == "1"
    assert "ledger" not in (await problem_of(response))["detail"]
