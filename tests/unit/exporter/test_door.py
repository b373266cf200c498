from base64 import b64encode
from collections.abc import AsyncIterator

import bcrypt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from exporter.door import Door
from exporter.web_config import WebConfig

PASSWORD = "correct horse"


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def users(**passwords: str) -> WebConfig:
    headers = {"headers": {"X-Frame-Options": "DENY"}}
    stored = {name: hashed(password) for name, password in passwords.items()}
    return WebConfig.model_validate({"basic_auth_users": stored, "http_server_config": headers})


class House:
    def __init__(self, config: WebConfig) -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response()

        app = web.Application()
        app.router.add_get("/metrics", answer)
        app.router.add_post("/api/v1/events", answer)
        self.door = Door(config)
        self.door.guard(app)
        self.client = TestClient(TestServer(app))

    async def get(self, name: str, password: str) -> int:
        shown = b64encode(f"{name}:{password}".encode()).decode()
        return (await self.client.get("/metrics", headers={"Authorization": f"Basic {shown}"})).status


@pytest.fixture
async def house() -> AsyncIterator[House]:
    found = House(users(ann=PASSWORD, zoë="pässword"))
    async with found.client:
        yield found


async def test_users_come_in_and_nobody_else(house: House) -> None:
    assert await house.get("ann", PASSWORD) == 200
    assert await house.get("zoë", "pässword") == 200
    assert await house.get("ann", "pässword") == 401
    assert await house.get("bob", PASSWORD) == 401
    assert await house.get("ann", "") == 401
    assert await house.get("ann", "x" * 100) == 401
    assert await house.get("ann", PASSWORD + "\0") == 401


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Bearer x", "Basic " + "QQ" * 3000])
async def test_what_is_no_password_is_answered_what_is_wanted(house: House, header: str) -> None:
    answer = await house.client.get("/metrics", headers={"Authorization": header} if header else {})
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert answer.headers["X-Frame-Options"] == "DENY"


async def test_a_password_is_checked_once_until_it_changes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    right = bcrypt.checkpw
    monkeypatch.setattr(bcrypt, "checkpw", lambda *given: checked.append(given) or right(*given))
    for _ in range(3):
        assert await house.get("ann", PASSWORD) == 200
    assert len(checked) == 1
    for _ in range(2):
        assert await house.get("bob", PASSWORD) == 401
    assert len(checked) == 3
    house.door.config = users(ann="another one")
    assert await house.get("ann", PASSWORD) == 401
    assert await house.get("ann", "another one") == 200


async def test_events_ask_for_a_token_of_their_own(house: House) -> None:
    assert (await house.client.post("/api/v1/events", headers={"Authorization": "Bearer x"})).status == 200
    assert (await house.client.get("/api/v1/events")).status == 401


async def test_without_users_everybody_comes_in() -> None:
    house = House(WebConfig())
    async with house.client:
        assert (await house.client.get("/metrics")).status == 200
