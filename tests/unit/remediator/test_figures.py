"""Figures over the ledger's past, and how they stand in the exposition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.figures import SELDOM, Decisions, Times, _histogram
from remediator.ledger import figures
from remediator.ledger.alerts import oldest_waiting
from remediator.ledger.schema import alerts, audit, incidents, metadata, runs
from remediator.pipeline.parts import Parts


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = sa.create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def put(connection: Connection, table: sa.Table, **values: object) -> None:
    """A row with these values and, in the other columns that need one, nothing much."""
    filled = {
        column.name: 0 if isinstance(column.type, sa.Integer | sa.Float | sa.Numeric) else ""
        for column in table.columns
        if not column.nullable and column.server_default is None and column.autoincrement is not True
    }
    connection.execute(sa.insert(table).values({**filled, **values}))


def incident(connection: Connection, name: str, **values: object) -> None:
    told = {
        "id": name,
        "metric_id": "m",
        "resource": name,
        "category": "infra",
        "firing": {},
        "labels": {},
        "reasons": [],
    }
    put(connection, incidents, **{**told, **values})


def test_times_are_spread_over_the_bounds(connection: Connection) -> None:
    incident(connection, "a", opened_at=100.0, closed_at=160.0, outcome="healed")
    incident(connection, "b", opened_at=100.0, closed_at=100.5, outcome="healed")
    incident(connection, "c", opened_at=100.0, closed_at=900.0, outcome="acknowledged")
    (spread,) = figures.healed(connection)
    assert (spread.label, spread.count, spread.sum) == ("infra", 2, 60.5)
    assert dict(zip(figures.SECONDS, spread.below, strict=True))[30.0] == 1
    assert dict(zip(figures.SECONDS, spread.below, strict=True))[60.0] == 2


def test_verifying_begins_with_the_last_step(connection: Connection) -> None:
    incident(connection, "a")
    put(
        connection, runs, id="r", incident_id="a", acted_at=100.0, ended_at=107.0, outcome="healed", reasons=[], plan=[]
    )
    put(
        connection,
        runs,
        id="s",
        incident_id="a",
        acted_at=100.0,
        ended_at=100.0,
        outcome="contained",
        reasons=[],
        plan=[],
    )
    (spread,) = figures.verified(connection)
    assert (spread.label, spread.count, spread.sum) == ("infra", 1, 7.0)


def test_the_alert_that_waits_longest(connection: Connection) -> None:
    assert oldest_waiting(connection) is None
    for number, (received, handled) in enumerate([(100.0, 1), (130.0, 0), (120.0, 0)], 1):
        put(
            connection,
            alerts,
            id=number,
            key=str(number),
            received_at=received,
            handled=handled,
            labels={},
            annotations={},
        )
    assert oldest_waiting(connection) == 130.0


def test_an_alert_that_begins_after_its_incident_took_no_time(connection: Connection) -> None:
    incident(connection, "a", opened_at=100.0)
    put(connection, alerts, id=1, key="k", starts_at=101.0, incident_id="a", labels={}, annotations={})
    (spread,) = figures.detected(connection)
    assert (spread.count, spread.sum, spread.below[0]) == (1, 0.0, 1)


def test_strikes_are_of_open_incidents(connection: Connection) -> None:
    incident(connection, "a")
    incident(connection, "b", closed_at=1.0)
    for number, (of, outcome) in enumerate([("a", "ineffective"), ("a", "failed"), ("a", "healed"), ("b", "failed")]):
        put(
            connection, runs, id=f"r{number}", incident_id=of, outcome=outcome, target=f"t{number}", reasons=[], plan=[]
        )
    assert figures.strikes(connection) == {("m", "a"): 2}


def test_decisions_are_counted_once_as_the_audit_log_grows(connection: Connection) -> None:
    counted = Decisions(0)

    def decide(seq: int, verdict: str, *reasons: str) -> None:
        words = ", ".join(f'"{reason}"' for reason in reasons)
        entry = f'{{"body": {{"verdict": "{verdict}", "reasons": [{words}]}}}}'
        put(connection, audit, seq=seq, kind="decision", entry=entry)

    def value(verdict: str, reason: str) -> float:
        samples = counted.add(counted.read(connection)).samples
        return next(each.value for each in samples if each.labels == {"verdict": verdict, "reason": reason})

    assert value("hold", "storm") == 0
    decide(1, "hold", "storm", "cooldown")
    assert (value("hold", "storm"), value("hold", "cooldown"), value("hold", "storm")) == (1, 1, 1)
    put(connection, audit, seq=2, kind="other", entry="{}")
    decide(3, "hold", "storm")
    twice = counted.read(connection), counted.read(connection)
    for read in twice:
        counted.add(read)
    assert value("hold", "storm") == 2


def test_a_series_is_there_before_its_first_event() -> None:
    family = _histogram("x_seconds", "x", "category", ["api"], [], (1.0, 2.0))
    assert [(each.labels.get("le"), each.value) for each in family.samples if each.name == "x_seconds_bucket"] == [
        ("1.0", 0),
        ("2.0", 0),
        ("+Inf", 0),
    ]


class Watch:
    """A clock, and a ledger whose every count takes `takes` seconds of it."""

    def __init__(self, connection: Connection, takes: float) -> None:
        self.connection, self.takes, self.now, self.counts = connection, takes, 1000.0, 0
        self.ledger = self
        self.catalog = SimpleNamespace(playbooks=())

    async def read(self, function: Callable[[Connection], Any]) -> Any:
        self.counts += 1
        self.now += self.takes
        return function(self.connection)


async def test_the_past_is_counted_the_more_seldom_the_longer_it_takes(connection: Connection) -> None:
    watch = Watch(connection, takes=2.0)
    times = Times(cast(Parts, watch), lambda: watch.now)

    async def healed() -> float:
        (family,) = [each for each in await times.families() if each.name == "grace_remediator_heal_seconds"]
        return sum(each.value for each in family.samples if each.name.endswith("_count"))

    assert await healed() == 0
    incident(connection, "a", opened_at=100.0, closed_at=160.0, outcome="healed")
    watch.now += SELDOM * 2.0 - 0.1
    assert (await healed(), watch.counts) == (0, 1)
    watch.now += 0.2
    assert (await healed(), watch.counts) == (1, 2)
    await times.close()


async def test_what_cannot_be_counted_now_is_tried_again(connection: Connection) -> None:
    watch = Watch(connection, takes=0.0)
    times = Times(cast(Parts, watch), lambda: watch.now)
    broken, watch.ledger = watch.ledger, cast(Watch, SimpleNamespace(read=None))
    with pytest.raises(TypeError):
        await times.families()
    watch.ledger = broken
    assert await times.families()
