"""Where the sql driver could do harm on PostgreSQL, tried on a real one."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

import pytest

from remediator.errors import Permanent, Refused, Transient
from tests.contract.drivers.rigs.base import until
from tests.contract.drivers.rigs.postgres import SETTINGS, PostgresRig


async def write(rig: Any, value: int, **config: Any) -> None:
    await rig.driver().do(rig.target(**config), rig.verb, {"value": value}, rig.context())


@pytest.mark.parametrize(("where", "rows"), [("WHERE name = 'absent'", 0), ("", 2)], ids=["no row", "two rows"])
async def test_anything_but_one_row_is_rolled_back(begin: Any, where: str, rows: int) -> None:
    rig = begin(PostgresRig)
    statement = f"UPDATE control SET value = CAST(:value AS text) {where}"
    settings = {"throttle": {**SETTINGS["throttle"], "write": statement}}
    with pytest.raises(Permanent, match=f"{rows} rows"):
        await write(rig, 30, settings=settings)
    assert rig.effect() == {"rate_limit": "60", "paused": "0"}


async def test_a_server_that_falls_silent_holds_no_thread(begin: Any) -> None:
    """Its process stops in the middle of a statement: the step ends in time, and so does the thread that waited."""
    rig = begin(PostgresRig)
    rig.link.execute(
        "CREATE OR REPLACE FUNCTION slow() RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(30); RETURN '60'; END $$"
    )
    settings = {"throttle": {**SETTINGS["throttle"], "read": "SELECT slow()"}}
    stopped: list[int] = []

    def stop() -> None:
        def asleep() -> list[tuple[Any, ...]]:
            return list(rig.link.execute("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'").fetchall())

        until(lambda: bool(asleep()), 5)
        stopped.append(asleep()[0][0])
        os.kill(stopped[0], signal.SIGSTOP)

    stopper = threading.Thread(target=stop)
    stopper.start()
    begun = time.monotonic()
    try:
        with pytest.raises(Transient, match="did not answer"):
            await rig.driver().observe(rig.target(settings=settings), rig.verb, rig.context())
        assert time.monotonic() - begun < 6
        until(lambda: not [each for each in threading.enumerate() if _waits_for_postgres(each)], 5)
    finally:
        stopper.join()
        os.kill(stopped[0], signal.SIGCONT)


def _waits_for_postgres(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if "psycopg" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


async def test_rights_are_known_by_their_code_whatever_the_language(begin: Any) -> None:
    rig = begin(PostgresRig)
    rig.link.execute(
        "CREATE OR REPLACE FUNCTION nein() RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'keine Berechtigung' USING ERRCODE = '42501'; END $$"
    )
    settings = {"throttle": {**SETTINGS["throttle"], "read": "SELECT nein()"}}
    with pytest.raises(Refused, match="keine Berechtigung") as caught:
        await rig.driver().observe(rig.target(settings=settings), rig.verb, rig.context())
    assert caught.value.reason == "permission"


async def test_a_conflict_of_transactions_is_worth_another_try(begin: Any) -> None:
    rig = begin(PostgresRig)
    rig.link.execute(
        "CREATE OR REPLACE FUNCTION torn() RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$"
    )
    settings = {"throttle": {**SETTINGS["throttle"], "read": "SELECT torn()"}}
    with pytest.raises(Transient):
        await rig.driver().observe(rig.target(settings=settings), rig.verb, rig.context())


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://nobody-known@/postgres?host={}", (Refused, Permanent, Transient)),
        ("postgresql://grace@/no_such_database?host={}", (Permanent, Transient)),
        ("postgresql://grace@/postgres?host=/nowhere", (Transient,)),
    ],
    ids=["no such role", "no such database", "no server"],
)
async def test_what_cannot_be_reached_has_a_reason_and_no_password(
    begin: Any, url: str, kind: tuple[type[Exception], ...]
) -> None:
    rig = begin(PostgresRig)
    secret = rig.folder / "password"
    secret.write_text("hunter2\n")
    with pytest.raises(kind) as caught:
        await rig.driver().observe(
            rig.target(url=url.format(rig.sockets), password_file=secret), rig.verb, rig.context()
        )
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("value", ["1; DROP TABLE control", "' OR '1'='1", "$(id)", "{{ 7 * 7 }}"])
async def test_a_value_is_never_part_of_the_statement(begin: Any, value: str) -> None:
    rig = begin(PostgresRig)
    await rig.driver().do(rig.target(), rig.verb, {"value": value}, rig.context())
    assert rig.effect() == {"rate_limit": value, "paused": "0"}


async def test_the_bounds_are_the_transactions_own(begin: Any) -> None:
    """Not sent when connecting, where poolers refuse them."""
    rig = begin(PostgresRig)
    settings = {"throttle": {**SETTINGS["throttle"], "read": "SELECT current_setting('statement_timeout')"}}
    seen = await rig.driver().observe(rig.target(settings=settings), rig.verb, rig.context())
    assert seen == {"value": "500ms"}


async def test_a_password_that_expires_in_the_middle(begin: Any) -> None:
    """Between a look and the deed: refused, and the next one in the file is taken up by the same driver."""
    rig = begin(PostgresRig)
    rules = rig.sockets / "data" / "pg_hba.conf"
    usual = rules.read_text()
    password = rig.folder / "password"
    password.write_text("before-before\n")
    target = rig.target(password_file=str(password))
    try:
        rules.write_text("local all admin trust\nlocal all all scram-sha-256\n")
        rig.link.execute("ALTER ROLE grace PASSWORD 'before-before'")
        rig.link.execute("SELECT pg_reload_conf()")
        driver = rig.driver()
        await answers(driver, rig, target)
        rig.link.execute("ALTER ROLE grace PASSWORD 'afterwards-afterwards'")
        with pytest.raises(Refused) as caught:
            await driver.do(target, rig.verb, {"value": 30}, rig.context())
        assert caught.value.reason == "permission"
        assert "before-before" not in str(caught.value)
        assert rig.effect()["rate_limit"] == "60"
        password.write_text("afterwards-afterwards\n")
        await driver.do(target, rig.verb, {"value": 30}, rig.context())
        assert rig.effect()["rate_limit"] == "30"
    finally:
        rules.write_text(usual)
        rig.link.execute("SELECT pg_reload_conf()")


async def answers(driver: Any, rig: Any, target: Any) -> None:
    """The server takes up its new rules a moment after it was told to."""
    assert await driver.observe(target, rig.verb, rig.context()) == {"value": 60}
