"""The page in a real browser: it is live, works by keyboard, fits a phone, and breaks no policy of its own."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.drivers.rigs.base import short_folder
from tests.integration.remediator.conftest import Service, payload

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# A browser is no dependency of Grace: who has none sees the pages' HTML and headers tested without one.
pytestmark = [pytest.mark.prove, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")]
UNLABELLED = (
    "[...document.querySelectorAll('main input:not([type=hidden]):not([hidden]), main select')]"
    ".filter(each => !each.labels.length).length"
)
PAGES = ("/", "/incidents", "/approvals", "/playbooks", "/governance", "/audit")
PHONE, DESK = (390, 844), (1280, 900)


class Tab:
    """One tab, driven over the DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            message = json.loads((await self._socket.receive(30)).data)
            if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.complaints.append(json.dumps(message["params"]))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return dict(message["result"])

    async def value(self, expression: str) -> Any:
        found = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait for an expression to hold, in the browser's own time."""
        async with asyncio.timeout(20):
            while not await self.value(expression):  # noqa: ASYNC110 - what is waited for is another process
                await asyncio.sleep(0.05)

    async def go(self, url: str) -> None:
        await self.ask("Page.navigate", url=url)
        await self.until(f"document.readyState === 'complete' && location.href === {json.dumps(url)}")

    async def press(self, key: str, code: int) -> None:
        text = {"text": "\r"} if key == "Enter" else {}
        await self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def size(self, width: int, height: int) -> None:
        await self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Tab]:
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0")
    child = await asyncio.create_subprocess_exec(
        str(CHROMIUM),
        *options,
        f"--user-data-dir={folder}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stderr is not None
        while (found := re.search(rb"ws://([^/]+)/", line := await child.stderr.readline())) is None:
            assert line, "Chromium ended"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{found[1].decode()}/json/list") as answer:
                place = next(each for each in await answer.json() if each["type"] == "page")["webSocketDebuggerUrl"]
            async with session.ws_connect(place, max_msg_size=0) as socket:
                tab = Tab(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await tab.ask(f"{domain}.enable")
                yield tab
    finally:
        child.kill()
        await child.wait()


async def test_a_person_sees_it_happen_and_acts_by_keyboard(free_port: Callable[[], int]) -> None:
    with short_folder() as folder:
        (folder / "service").mkdir()
        service = Service(folder / "service", free_port(), {}, {"evidence": "trust_alert"})
        try:
            service.start()
            async with browser(folder / "browser") as tab:
                await drive(tab, service)
        finally:
            service.kill()


async def drive(tab: Tab, service: Service) -> None:
    base = f"http://127.0.0.1:{service.port}"
    await tab.go(f"{base}/sign-in?next=/")
    # The field has the focus: typing and Enter are enough.
    await tab.ask("Input.insertText", text=(service.data / "tokens" / "admin").read_text())
    await tab.press("Enter", 13)
    await tab.until("document.getElementById('live')?.textContent === 'live'")
    assert await tab.value("document.querySelector('h1').textContent") == "Nothing is wrong"

    # It changes by itself, without being loaded again.
    await tab.value("window.kept = 1")
    service.call("POST", "/api/v1/alerts", payload("infra.cpu_utilization", "api-1"), token="alertmanager")
    await tab.until("document.querySelector('h1').textContent === '1 incident wants a person'")
    assert await tab.value("window.kept") == 1

    # What somebody is writing is not taken from under their hands.
    await tab.go(f"{base}/governance")
    await tab.until("document.getElementById('live').textContent === 'live'")
    await tab.value("document.getElementById('settings-reason').focus()")
    await tab.ask("Input.insertText", text="a quiet night")
    service.call("PUT", "/api/v1/governance", {"strictness": 1, "reason": "meanwhile"})
    await tab.value("new Promise(done => setTimeout(done, 1500))")
    assert await tab.value("document.getElementById('settings-reason').value") == "a quiet night"
    await tab.value("document.getElementById('strictness').value = '2'")
    await tab.press("Enter", 13)
    await tab.until("document.querySelector('dl').textContent.replace(/\\s+/g, ' ').includes('Strictness2')")

    (incident,) = service.items("/api/v1/incidents")
    for width, height in (DESK, PHONE):
        await tab.size(width, height)
        for path in (*PAGES, f"/incidents/{incident['id']}"):
            await tab.go(base + path)
            assert await tab.value("document.documentElement.scrollWidth <= innerWidth"), (path, width)
            assert await tab.value(UNLABELLED) == 0, path
    # The first stop of the Tab key leads past the navigation.
    await tab.press("Tab", 9)
    assert await tab.value("document.activeElement.className") == "skip"
    assert [
        each for each in tab.complaints if "Refused" in each or "Content Security" in each or "exception" in each
    ] == []
