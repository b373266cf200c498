"""Where the http driver could do harm, tried on a real service."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import ValidationError

from catalog.model import Verb
from remediator.drivers.http import HttpConfig
from remediator.drivers.http.settings import Write
from remediator.errors import Permanent, Refused, Transient
from tests.contract.drivers.rigs.http import HttpPauseRig, HttpRestartRig, HttpRig, HttpRunRig, HttpThrottleRig


async def do(rig: Any, verb: Verb | None = None, **desired: Any) -> None:
    await rig.driver().do(rig.target(), verb or rig.verb, desired, rig.context())


class TestHalfSuccess:
    async def test_accepted_and_not_taken_on_is_not_reached(self, begin: Any) -> None:
        rig = begin(HttpRig)
        rig.fault(ignore=True)
        await do(rig, value=3)
        assert not await rig.settled(rig.driver(), rig.verb, {"value": 3}, within=0.5)

    async def test_a_put_whose_answer_is_lost_may_be_sent_again(self, begin: Any) -> None:
        rig = begin(HttpRig)
        rig.fault(lose_answer=True)
        with pytest.raises(Transient, match="broke off"):
            await do(rig, value=3)
        sent = rig.held()["keys"]
        assert set(sent) == {"run_1:0"}
        rig.fault()
        await do(rig, value=3)
        assert rig.held()["keys"] == sent, "it stands there: nothing more is sent"

    async def test_a_post_whose_answer_is_lost_but_took_effect_is_done(self, begin: Any) -> None:
        rig = begin(HttpThrottleRig)
        rig.fault(lose_answer=True)
        await do(rig, value=30)
        assert rig.held()["keys"] == ["run_1:0"]

    async def test_a_post_of_unknown_outcome_is_not_sent_again(self, begin: Any) -> None:
        rig = begin(HttpThrottleRig)
        rig.fault(lose_answer=True, ignore=True)
        with pytest.raises(Permanent, match="unknown"):
            await do(rig, value=30)
        assert len(rig.held()["keys"]) == 1

    @pytest.mark.parametrize(
        ("kind", "status", "error"),
        [
            (HttpRig, 503, Transient),
            (HttpRig, 429, Transient),
            (HttpThrottleRig, 503, Permanent),
            (HttpThrottleRig, 429, Transient),
            (HttpRig, 404, Permanent),
            (HttpRig, 302, Permanent),
            (HttpRig, 206, Permanent),
            (HttpRig, 403, Refused),
        ],
    )
    async def test_what_a_status_means(self, begin: Any, kind: type[HttpRig], status: int, error: type) -> None:
        rig = begin(kind)
        rig.fault(status=status, headers={"Retry-After": "7", "Location": "http://127.0.0.1:1/"})
        effect = rig.effect()
        with pytest.raises(error) as caught:
            await do(rig, value=3)
        assert type(caught.value) is error or error is Permanent
        if error is Transient:
            assert caught.value.retry_after == 7
        assert rig.effect() == effect


class TestCredentials:
    async def test_one_that_expires_in_the_middle_is_refused_and_the_next_is_taken_up(self, begin: Any) -> None:
        rig = begin(HttpRig)
        driver = rig.driver()
        await driver.observe(rig.target(), rig.verb, rig.context())
        (rig.folder / "accepted").write_text("fresh")
        with pytest.raises(Refused) as caught:
            await driver.do(rig.target(), rig.verb, {"value": 3}, rig.context())
        assert caught.value.reason == "permission"
        assert "secret" not in str(caught.value)
        rig.token.write_text("fresh")
        await driver.do(rig.target(), rig.verb, {"value": 3}, rig.context())
        assert rig.effect() == 3

    async def test_a_token_file_that_is_gone(self, begin: Any) -> None:
        rig = begin(HttpRig)
        rig.token.unlink()
        with pytest.raises(Permanent, match="token"):
            await do(rig, value=3)

    @pytest.mark.parametrize("url", ["http://u:hunter2@h/", "http://h/?token=hunter2", "ftp://h", "/x", "http://h/a b"])
    def test_credentials_do_not_belong_into_the_url(self, url: str) -> None:
        with pytest.raises(ValidationError) as caught:
            HttpConfig(url=url, run={"write": {"path": "/job"}})
        assert all("hunter2" not in fault["msg"] for fault in caught.value.errors())


class TestAnswers:
    @pytest.mark.parametrize(
        "body",
        [
            b"[]", b"{", b'{"state": {}}', b'{"state": {"workers": null}}', b'{"state": {"workers": "2"}}',
            b'{"state": {"workers": true}}', b'{"state": {"workers": NaN}}', b'{"state": {"workers": 1e999}}',
            b'{"state": {"workers": 99999999999999999999}}', b'{"state": []}', b"[" * 100000,
        ],
    )  # fmt: skip
    async def test_what_is_no_number_is_none(self, begin: Any, body: bytes) -> None:
        rig = begin(HttpRig)
        target = rig.elsewhere(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        with pytest.raises(Permanent):
            await rig.driver().observe(target, rig.verb, rig.context())

    async def test_one_that_never_ends_is_cut_off(self, begin: Any) -> None:
        rig = begin(HttpRig)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"
        with pytest.raises(Permanent, match="more than"):
            await rig.driver().observe(rig.elsewhere(head + b" " * 6_000_000), rig.verb, rig.context())

    async def test_a_word_that_is_neither(self, begin: Any) -> None:
        rig = begin(HttpPauseRig)
        setting = {**rig.config()["pause"], "paused": "yes", "running": "no"}
        with pytest.raises(Permanent, match="neither"):
            await rig.driver().observe(rig.target(pause=setting), rig.verb, rig.context())

    @pytest.mark.parametrize("moment", ["yesterday", "2026-01-31T12:00:00", True, None, -1e300])
    async def test_a_start_that_is_no_time(self, begin: Any, moment: object) -> None:
        rig = begin(HttpRestartRig)
        held = rig.held() | {"born": moment}
        (rig.folder / "held.json").write_text(json.dumps(held))
        with pytest.raises(Permanent):
            await rig.driver().observe(rig.target(), rig.verb, rig.context())

    async def test_a_start_with_its_zone(self, begin: Any) -> None:
        rig = begin(HttpRestartRig)
        (rig.folder / "held.json").write_text(json.dumps(rig.held() | {"born": "2026-01-31T12:00:00+01:00"}))
        assert await rig.driver().observe(rig.target(), rig.verb, rig.context()) == {"born": 1769857200.0}


class TestRun:
    report = "run_1-0.json"

    def desired(self, rig: Any) -> str:
        return str(rig.folder / "reports" / self.report)

    async def test_a_job_that_was_sent_is_not_sent_again_after_a_crash(self, begin: Any) -> None:
        rig = begin(HttpRunRig)
        rig.fault(lose_answer=True)
        with pytest.raises(Permanent, match="unknown"):
            await do(rig, report=self.desired(rig))
        rig.fault()
        with pytest.raises(Permanent, match="sent before"):
            await do(rig, report=self.desired(rig))
        assert rig.held()["jobs"] == 1

    async def test_a_job_that_was_refused_may_be_sent_again(self, begin: Any) -> None:
        rig = begin(HttpRunRig)
        rig.fault(status=404)
        with pytest.raises(Permanent, match="404"):
            await do(rig, report=self.desired(rig))
        rig.fault()
        await do(rig, report=self.desired(rig))
        assert rig.effect() == {"ran": 1, "report": '{"finding": "fine"}'}

    async def test_a_report_elsewhere_is_not_written(self, begin: Any) -> None:
        rig = begin(HttpRunRig)
        with pytest.raises(Permanent, match="not this step's"):
            await do(rig, report="/etc/grace-report.json")


class TestTemplates:
    @pytest.mark.parametrize(
        "path",
        ["pool", "//pool", "/a/../b", "/%2e%2e/b", "/x{value}", "/{value}x", "/a?{value}=1", "/a?x=1{value}", "/a b",
         "/a#b", "/a\r\nX: y", "/{{ x }}", "/${x}", "/é"],
    )  # fmt: skip
    def test_paths_that_are_refused(self, path: str) -> None:
        with pytest.raises(ValidationError):
            Write(path=path)

    @pytest.mark.parametrize("body", [{"{value}": 1}, "x{value}", ["{value} "], {"a": {"b": "{value}{value}"}}])
    def test_bodies_that_are_refused(self, body: object) -> None:
        with pytest.raises(ValidationError):
            Write(path="/x", body=body)

    @pytest.mark.parametrize("value", ["3", "3/../../admin", None, True, float("nan"), float("inf"), [3]])
    async def test_a_value_that_is_no_number_is_not_sent(self, begin: Any, value: object) -> None:
        rig = begin(HttpRig)
        with pytest.raises(Permanent, match="nothing was sent"):
            await do(rig, value=value)
        assert rig.held()["keys"] == []


async def test_an_answer_that_stops_in_the_middle(begin: Any) -> None:
    rig = begin(HttpRig)
    target = rig.elsewhere(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"state"')
    with pytest.raises(Transient, match="broke off"):
        await rig.driver().observe(target, rig.verb, rig.context())


async def test_a_cancelled_step_leaves_nothing_behind(begin: Any) -> None:
    rig = begin(HttpRig)
    task = asyncio.create_task(rig.driver().observe(rig.elsewhere(None), rig.verb, rig.context()))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
