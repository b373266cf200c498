"""The page as browsers see it, on a real remediator with a real HAProxy behind it."""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPMessage

import pytest

from remediator.page.routes import ROUTES
from tests.contract.drivers.rigs.haproxy import HAProxyRig
from tests.contract.drivers.rigs.process import ProcessRig
from tests.integration.remediator.conftest import Service, held, payload

World = tuple[Service, HAProxyRig, ProcessRig]


class _Stay(urllib.request.HTTPRedirectHandler):
    """Redirections are answers here, not steps."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


@dataclass
class Answer:
    status: int
    headers: HTTPMessage
    text: str


@dataclass
class Browser:
    """Keeps cookies, sends forms, follows nothing."""

    port: int
    cookie: str = ""
    opener: urllib.request.OpenerDirector = field(default_factory=lambda: urllib.request.build_opener(_Stay))

    def get(self, path: str, **headers: str) -> Answer:
        return self._ask(path, None, headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Answer:
        return self._ask(path, urllib.parse.urlencode(fields).encode(), headers)

    def submit(self, page: Answer, action: str, **fields: str) -> Answer:
        """Send the form or button of a page that leads there, with what it hides."""
        assert f'action="{action}"' in page.text, page.text
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
        return self.post(action, hidden | fields)

    def _ask(self, path: str, data: bytes | None, headers: dict[str, str]) -> Answer:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data)
        for name, value in ({"Cookie": self.cookie} if self.cookie else {}).items():
            request.add_header(name, value)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            answer = self.opener.open(request, timeout=10)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            found = Answer(answer.status, answer.headers, answer.read().decode())
        if (cookie := found.headers.get("Set-Cookie")) is not None:
            self.cookie = cookie.split(";")[0]
        return found


def signed_in(service: Service, token: str = "admin") -> Browser:
    browser = Browser(service.port)
    known = service.data / "tokens" / token
    answer = browser.post("/sign-in", {"token": known.read_text() if known.exists() else token, "next": "/"})
    assert answer.status == 303, answer.text
    return browser


def token_of(service: Service, name: str, role: str) -> str:
    return str(service.call("POST", "/api/v1/tokens", {"name": name, "role": role})[1]["token"])


def test_nobody_sees_or_does_anything_without_signing_in(world: World) -> None:
    service, _, _ = world
    service.start()
    stranger = Browser(service.port)
    for method, path, _ in ROUTES:
        if path == "/sign-in":
            continue
        place = path.replace("{id}", "x")
        answer = stranger.get(place) if method == "GET" else stranger.post(place, {"csrf": "x", "reason": "y"})
        if path == "/stream":
            assert answer.status == 401
        else:
            assert (answer.status, answer.headers["Location"].split("?")[0]) == (303, "/sign-in"), path
    assert stranger.get("/incidents?cursor=a").headers["Location"] == "/sign-in?next=/incidents%3Fcursor%3Da"
    # The page's cookie is no key to the API, nor the API's token one to the page.
    browser = signed_in(service)
    assert browser.get("/api/v1/incidents").status == 401
    bearer = f"Bearer {(service.data / 'tokens' / 'admin').read_text()}"
    assert Browser(service.port).get("/incidents", Authorization=bearer).status == 303
    service.stop()


def test_signing_in(world: World) -> None:
    service, _, _ = world
    service.start()
    browser = Browser(service.port)
    page = browser.get("/sign-in?next=/audit")
    assert 'value="/audit"' in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    admin = (service.data / "tokens" / "admin").read_text()

    answer = browser.post("/sign-in", {"token": f" {admin}\n", "next": "/audit"})
    assert (answer.status, answer.headers["Location"]) == (303, "/audit")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(answer.headers["Set-Cookie"].split("; "))
    assert admin not in answer.headers["Set-Cookie"]
    assert "admin (admin)" in browser.get("/audit").text
    for evil in (
        "//[",
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/a\r\nX: y",
    ):
        assert Browser(service.port).post("/sign-in", {"token": admin, "next": evil}).headers["Location"] == "/"

    huge = Browser(service.port).post("/sign-in", {"token": admin, "next": "/" + "x" * 70_000})
    assert huge.status == 400
    parts = Browser(service.port).post("/sign-in", {"token": admin}, Content_Type="multipart/form-data; boundary=x")
    assert parts.status == 400
    alertmanager = (service.data / "tokens" / "alertmanager").read_text()
    assert Browser(service.port).post("/sign-in", {"token": alertmanager}).status == 403
    foreign = Browser(service.port).post("/sign-in", {"token": admin}, Origin="https://evil.example")
    assert foreign.status == 403
    wrong = [Browser(service.port).post("/sign-in", {"token": "grace_" + "x" * 43}).status for _ in range(12)]
    assert set(wrong) == {401, 429}
    assert wrong[0] == 401
    assert Browser(service.port).post("/sign-in", {"token": admin}).status == 303, "a right one is never throttled"

    out = browser.submit(browser.get("/"), "/sign-out")
    assert (out.status, out.headers["Location"]) == (303, "/sign-in")
    assert browser.get("/").status == 303
    service.stop()


def test_a_session_lives_as_long_as_its_token_and_over_restarts(world: World) -> None:
    service, _, _ = world
    service.start()
    browser = signed_in(service, token_of(service, "ann", "viewer"))
    assert "ann (viewer)" in browser.get("/").text
    service.kill()
    service.start()
    assert browser.get("/").status == 200
    assert (service.data / "session.key").stat().st_mode & 0o777 == 0o600
    # The first letter of the signature: not all bits of its last one count.
    body, _, signature = browser.cookie.rpartition(".")
    changed = Browser(service.port, f"{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}")
    assert changed.get("/").status == 303
    assert service.call("DELETE", "/api/v1/tokens/ann")[0] == 200
    token_of(service, "ann", "admin")
    assert browser.get("/").status == 303, "a new token of the same name is somebody else's"
    service.stop()


def test_a_plan_is_approved_by_who_may_and_only_as_it_was_shown(world: World) -> None:
    service, balancer, _ = world
    service.start()
    asked = held(service)
    place = f"/approvals/{asked['id']}"

    viewer = signed_in(service, token_of(service, "vera", "viewer"))
    seen = viewer.get(place).text
    assert "weights=api-1=20" in seen, "the exact plan"
    assert "needs the role approver" in seen
    assert f'action="{place}/approve"' not in seen
    assert viewer.post(f"{place}/approve", {"csrf": "x"}).status == 403

    approver = signed_in(service, token_of(service, "ann", "approver"))
    front = approver.get("/")
    assert "1 incident wants a person" in front.text
    assert '<span id="waits">1</span>' in front.text
    page = approver.get(place)
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    good = {**hidden, "reason": "looked at it"}
    assert approver.post(f"{place}/approve", {**good, "csrf": "x"}).status == 403
    assert approver.post(f"{place}/approve", good, Origin="https://evil.example").status == 403
    assert approver.post(f"{place}/approve", good, Sec_Fetch_Site="cross-site").status == 403
    assert approver.post(f"{place}/approve", {**good, "digest": "0" * 64}).status == 409
    assert approver.post(f"{place}/approve", {**good, "reason": "  "}).status == 400
    assert approver.post(f"{place}/approve", {**good, "reason": "a\0b"}).status == 400
    assert balancer.effect() == {"api-1": 100, "api-2": 100}

    assert approver.submit(page, f"{place}/approve", reason="looked at it").headers["Location"] == place
    service.until(lambda: balancer.effect() == {"api-1": 20, "api-2": 100})
    assert "looked at it" in approver.get(place).text
    votes = [entry for entry in service.items("/api/v1/audit") if entry["kind"] == "approval_vote"]
    assert [(entry["actor"], entry["body"]["reason"]) for entry in votes] == [("ann", "looked at it")]
    service.stop()


def test_an_incident_is_told(world: World) -> None:
    service, balancer, _ = world
    service.start()
    service.call("POST", "/api/v1/alerts", payload("infra.cpu_utilization", "api-1"), token="alertmanager")
    (run,) = service.until(lambda: [run for run in service.items("/api/v1/runs") if run["state"] != "running"])
    (incident,) = service.items("/api/v1/incidents")
    browser = signed_in(service)
    place = f"/incidents/{incident['id']}"
    page = browser.get(place)
    assert page.status == 200
    for words in ("alert firing: critical infra.cpu_utilization on api-1", "decision: shift-load", "weights=api-1=20"):
        assert words in page.text
    assert f'href="{place}"' in browser.get("/incidents").text
    assert f'href="{place}"' in browser.get("/").text
    assert browser.get("/incidents/inc_nope").status == 404
    assert browser.get("/incidents/%2e%2e%2fetc").status == 404
    for path in ("/incidents/a%00b", "/approvals/a%00b", "/incidents?cursor=a%00b"):
        assert browser.get(path).status == 400
    cancelled = browser.post(f"/runs/{run['id']}/cancel", {"csrf": "x", "reason": "y"})
    assert cancelled.status == 403
    assert balancer.effect() == {"api-1": 20, "api-2": 100}
    service.stop()


def test_a_person_takes_an_incident_and_ends_it(world: World) -> None:
    service, balancer, _ = world
    service.start()
    held(service)
    (incident,) = service.items("/api/v1/incidents")
    place = f"/incidents/{incident['id']}"
    operator = signed_in(service, token_of(service, "olga", "operator"))
    page = operator.get(place)
    assert "A plan waits for you" in page.text
    assert signed_in(service, token_of(service, "vera", "viewer")).post(f"{place}/close", {"csrf": "x"}).status == 403
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))

    assert operator.post(f"{place}/ack", hidden | {"reason": "mine"}).headers["Location"] == place
    (taken,) = service.items("/api/v1/incidents")
    assert (taken["state"], taken["reason"]) == ("escalated", "acknowledged by olga")
    assert operator.submit(page, f"{place}/close", reason="a known deployment").status == 303
    (ended,) = service.items("/api/v1/incidents")
    assert (ended["state"], ended["reason"]) == ("closed", "closed by olga: a known deployment")
    assert operator.post(f"{place}/close", hidden | {"reason": "again"}).status == 409
    assert operator.post("/incidents/inc_nope/close", hidden | {"reason": "x"}).status == 404
    assert operator.post("/runs/run_nope/undo", hidden | {"reason": "x"}).status == 404
    assert balancer.effect() == {"api-1": 100, "api-2": 100}
    service.stop()


def test_a_strangers_words_are_text(world: World) -> None:
    service, _, _ = world
    service.start()
    evil = '"><script>alert(1)</script>{{ 7 * 7 }}<img src=x onerror=alert(2)>'
    service.call("POST", "/api/v1/alerts", payload("infra.cpu_utilization", evil), token="alertmanager")
    (incident,) = service.until(lambda: service.items("/api/v1/incidents"))
    browser = signed_in(service)
    for path in ("/", "/incidents", f"/incidents/{incident['id']}", "/audit", "/approvals"):
        text = browser.get(path).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)" in browser.get("/").text
    assert "{{ 7 * 7 }}" in browser.get("/").text
    missing = browser.get("/approvals/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert missing.status == 404
    assert "<script>alert" not in missing.text
    service.stop()


def test_governance_is_tightened_by_operators_and_loosened_by_admins(world: World) -> None:
    service, _, _ = world
    service.start()
    operator = signed_in(service, token_of(service, "olga", "operator"))
    page = operator.get("/governance")
    now = {"ceiling": "tier_2", "strictness": "0", "supervised": "no", "frozen": "no", "shadow": "no"}
    tighter = now | {"ceiling": "tier_1", "frozen": "yes"}
    assert operator.submit(page, "/governance", **tighter, reason="a quiet night").status == 303
    assert "Frozen: nothing is run" in operator.get("/").text
    in_force = service.call("GET", "/api/v1/governance")[1]
    assert (in_force["ceiling"], in_force["frozen"], in_force["strictness"]) == ("tier_1", True, 0)
    assert operator.submit(page, "/governance", **now, reason="enough").status == 403
    assert signed_in(service).submit(page, "/governance", **now, reason="x").status == 403, "another session's form"
    admin = signed_in(service)
    assert admin.submit(admin.get("/governance"), "/governance", **now, reason="enough").status == 303
    assert admin.submit(admin.get("/governance"), "/governance", **now, reason="again").status == 400, "nothing changed"
    for wrong in ({"ceiling": "tier_9"}, {"strictness": "7"}, {"strictness": "x"}):
        assert admin.submit(admin.get("/governance"), "/governance", **(now | wrong), reason="x").status == 400

    assert operator.submit(page, "/holds", target="workers", minutes="5", reason="being moved").status == 303
    assert "being moved" in operator.get("/governance").text
    assert operator.submit(page, "/holds", target="nope", minutes="5", reason="x").status == 404
    for minutes in ("0", "-1", "", "1e3", "9" * 40):
        assert operator.submit(page, "/holds", target="workers", minutes=minutes, reason="x").status == 400
    assert operator.submit(page, "/holds/end", target="workers", reason="it moved").status == 303
    assert service.call("GET", "/api/v1/governance")[1]["holds"] == []
    service.stop()


def test_the_audit_log_is_verified_from_the_page(world: World) -> None:
    service, _, _ = world
    service.start()
    browser = signed_in(service, token_of(service, "vera", "viewer"))
    page = browser.get("/audit")
    assert "token added" in page.text
    assert "the log is whole" in browser.submit(page, "/audit/verify").text
    service.stop()


@pytest.mark.parametrize("name", ["page.css", "page.js", "mark.svg"])
def test_what_the_page_loads_is_there(world: World, name: str) -> None:
    service, _, _ = world
    service.start()
    answer = Browser(service.port).get(f"/static/{name}")
    assert answer.status == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert Browser(service.port).get("/static/../app.py").status == 404
    service.stop()
