"""Kills and stops at random while alerts come: each effect exists exactly once, the record is whole, nothing hangs."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.prove.world import METRIC, Replica, Rows, replicas, start_all, whole

DONE = [(Rows.START, Rows.START // 2)]
LONGER_THAN_A_LEASE = 6.0
"""Seconds that a replica is stopped for: its lease is 3 s, and its step 2 s."""


@dataclass(frozen=True)
class Weather:
    engine: str
    replicas: int
    kills: int
    incidents: int
    seed: int

    def __str__(self) -> str:
        return f"{self.engine}-{self.replicas}-replicas-{self.kills}-kills-{self.incidents}-incidents"


SHORT = (Weather("sqlite", 1, 3, 20, 1), Weather("postgres", 2, 3, 20, 2))
LONG = (Weather("sqlite", 1, 200, 500, 3), Weather("postgres", 1, 200, 500, 4), Weather("postgres", 3, 200, 500, 5))


@pytest.mark.parametrize("weather", SHORT, ids=str)
def test_a_short_storm(weather: Weather, free_port: Callable[[], int]) -> None:
    storm(weather, free_port)


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("weather", LONG, ids=str)
def test_a_long_storm(weather: Weather, free_port: Callable[[], int]) -> None:
    storm(weather, free_port)


def storm(weather: Weather, free_port: Callable[[], int]) -> None:
    chance = random.Random(weather.seed)
    with replicas(weather.engine, weather.replicas, weather.incidents, free_port) as (made, rows):
        start_all(made)
        answered: set[str] = set()
        over = threading.Event()
        poster = threading.Thread(target=_post_all, args=(made, rows.names, answered, over, weather.seed))
        poster.start()
        try:
            for _ in range(weather.kills):
                time.sleep(chance.uniform(0.0, 0.4))
                victim = chance.choice(made)
                if len(made) > 1 and chance.random() < 0.2:
                    victim.signal(signal.SIGSTOP)
                    time.sleep(LONGER_THAN_A_LEASE)
                    victim.signal(signal.SIGCONT)
                    continue
                victim.kill()
                victim.start()
        finally:
            over.set()
            poster.join()
        for name in rows.names:
            if name not in answered:
                Replica.until(lambda name=name: made[0].post(name) == 202, 15)
        Replica.until(lambda: _states(made[0]) == {"contained": weather.incidents}, 120 + weather.incidents / 2)
        _whole(made, rows)


def _post_all(made: list[Replica], names: list[str], answered: set[str], over: threading.Event, seed: int) -> None:
    """As Alertmanagers do: to any replica, again until it is taken, and now and then once more."""
    chance = random.Random(seed + 1000)
    for name in names:
        while not over.is_set():
            if chance.choice(made).post(name) == 202:
                answered.add(name)
                if chance.random() < 0.8:
                    break
            else:
                time.sleep(0.02)


def _states(replica: Replica) -> Counter[str]:
    found: Counter[str] = Counter()
    cursor = ""
    while True:
        status, page = replica.call("GET", f"/api/v1/incidents?limit=500{cursor}")
        assert status == 200
        found.update(each["state"] for each in page["items"])
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def _whole(made: list[Replica], rows: Rows) -> None:
    changes = rows.changes()
    assert {name: seen for name, seen in changes.items() if seen != DONE} == {}
    runs = made[0].items("/api/v1/runs?limit=500&all=true")
    assert len(runs) == len({run["incident_id"] for run in runs}) == len(rows.names)
    assert {run["state"] for run in runs} == {"contained"}
    assert {each["metric_id"] for each in made[0].items("/api/v1/incidents")} == {METRIC}
    for each in made:
        assert whole(each) == ""
        each.stop()
        assert not [line for line in each.log() if line.get("event") in ("work_crashed", "look_crashed")]
