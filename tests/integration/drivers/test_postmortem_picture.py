"""The postmortem's picture, from a real Prometheus: it shows what the query gives; strangers' words are text in it."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import aiohttp
import pytest

from catalog.config import GraceConfig
from catalog.inventory import Inventory, Target
from catalog.load import load_catalog
from catalog.model import Band, Verb
from catalog.policy import Policy
from remediator.audit.checkpoint import Checkpointer
from remediator.clock import SystemClock
from remediator.drivers import open_driver
from remediator.drivers.base import StepContext, World
from remediator.drivers.postmortem.picture import Curve, Mark, Threshold, svg
from remediator.errors import Transient
from remediator.ledger import incidents
from remediator.ledger.engine import Ledger, Tx
from remediator.pipeline.curve import curve
from remediator.pipeline.parts import Parts
from remediator.prometheus import Prometheus
from tests.integration.backfilled import backfilled

NOW = float(int(time.time()))
RATIOS = [0.5 + 0.02 * number for number in range(18)]
TIMES = [NOW - 30 * (len(RATIOS) - number) for number in range(len(RATIOS))]
SVG = "{http://www.w3.org/2000/svg}"
TARGET = Target(name="governance", driver="postmortem")


@pytest.fixture
async def prometheus(
    prometheus_binary: Path, promtool: Path, free_port: Callable[[], int], tmp_path: Path
) -> AsyncIterator[Prometheus]:
    lines = ["# TYPE resource:grace_value:sample gauge"]
    labels = '{metric_id="infra.cpu_utilization",resource="api-1"}'
    lines += [f"resource:grace_value:sample{labels} {ratio} {at}" for ratio, at in zip(RATIOS, TIMES, strict=True)]
    samples = "\n".join(lines)
    async with backfilled(
        samples, prometheus=prometheus_binary, promtool=promtool, port=free_port(), folder=tmp_path
    ) as client:
        yield client


async def reported(parts: Parts, incident_id: str, story: Mapping[str, Any], folder: Path) -> Path:
    """The report that the driver writes."""

    async def told(_: str) -> Mapping[str, Any]:
        return story

    async with aiohttp.ClientSession() as http:
        world = World(SystemClock(), http, folder, story=told, curve=lambda incident_id: curve(parts, incident_id))
        driver = open_driver("postmortem", world)
        context = StepContext(
            run_id="run_1", step=0, key="run_1:0", started_at=NOW, incident_id=incident_id, reports=folder / "reports"
        )
        desired = driver.desire(TARGET, Verb.REPORT, {}, {}, context)
        await driver.do(TARGET, Verb.REPORT, desired, context)
        assert driver.reached(Verb.REPORT, desired, await driver.observe(TARGET, Verb.REPORT, context))
    return Path(desired["report"])


@pytest.fixture
async def parts(prometheus: Prometheus, tmp_path: Path) -> AsyncIterator[Parts]:
    ledger = await Ledger.open(tmp_path / "ledger.db", SystemClock())
    yield Parts(
        ledger=ledger,
        clock=ledger.clock,
        config=GraceConfig(data_dir=tmp_path),
        catalog=load_catalog(),
        inventory=Inventory(),
        policy=Policy(),
        prometheus=prometheus,
        alertmanager=None,  # type: ignore[arg-type]
        drivers={},
        checkpointer=Checkpointer(tmp_path / "audit.key", tmp_path / "checkpoints.log"),
        owner="test",
    )
    await ledger.close()


async def opened(parts: Parts) -> str:
    def store(tx: Tx) -> str:
        name = incidents.open_new(
            tx, metric_id="infra.cpu_utilization", resource="api-1", category="infra", band=Band.CRITICAL,
            target="api-1", firing={}, labels={},
        )  # fmt: skip
        # However long ago this module was read: its measurements end then.
        incidents.set_fields(tx, name, opened_at=NOW)
        return name

    return await parts.ledger.write(store)


def axis(picture: ElementTree.Element) -> Callable[[float], float]:
    """The value at a height, as a reader finds it: between two numbers of the axis."""
    marks = [(float(each.get("y") or 0) - 4, float(each.text or 0)) for each in texts(picture, "value")]
    (first_y, first), (last_y, last) = marks[0], marks[-1]
    return lambda y: first + (y - first_y) / (last_y - first_y) * (last - first)


def texts(picture: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [each for each in picture.iter(f"{SVG}text") if each.get("class") == kind]


def points(picture: ElementTree.Element) -> list[ElementTree.Element]:
    return [each for each in picture.iter(f"{SVG}circle") if each.get("class") == "point"]


async def test_the_picture_shows_what_the_query_gives(parts: Parts, tmp_path: Path) -> None:
    incident_id = await opened(parts)
    run = {"playbook_id": "shift-load", "steps": [{"verb": "shift", "target": "edge", "state": "done",
           "intended_at": TIMES[15]}]}  # fmt: skip
    story = {"incident": {"metric_id": "infra.cpu_utilization", "resource": "api-1", "opened_at": NOW}, "runs": [run]}
    report = await reported(parts, incident_id, story, tmp_path)
    text = report.read_text()
    beside = report.with_suffix(".svg")
    assert f"]({beside.name})" in text
    picture = ElementTree.fromstring(beside.read_text())
    value_at = axis(picture)
    shown = points(picture)
    (series,) = await parts.prometheus.matrix('resource:grace_value:sample{resource="api-1"}[1h]')
    assert len(shown) == len(series.points) == len(RATIOS)
    for dot, (at, ratio) in zip(shown, series.points, strict=True):
        assert value_at(float(dot.get("cy") or 0)) == pytest.approx(100 * ratio, abs=0.3)
        told = "".join(dot.itertext())
        assert time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) in told
        assert f"{100 * ratio:g} %" in told
    across = [float(dot.get("cx") or 0) for dot in shown]
    steps = [later - earlier for earlier, later in itertools.pairwise(across)]
    assert steps == pytest.approx([steps[0]] * len(steps), abs=0.02)
    bands = [value_at(float(line.get("y1") or 0)) for line in picture.iter(f"{SVG}line") if line.get("class")]
    assert bands == pytest.approx([70, 85], abs=0.3)
    marks = [each for each in picture.iter(f"{SVG}circle") if each.get("class") == "mark"]
    assert float(marks[0].get("cx") or 0) == pytest.approx(across[15], abs=0.1)
    assert "shift-load: shift edge, done" in "".join(picture.itertext())


async def test_a_report_without_prometheus_says_so(parts: Parts, tmp_path: Path) -> None:
    incident_id = await opened(parts)

    async def away(*_: Any) -> Any:
        raise Transient("it is away")

    parts.prometheus.measurements = away  # type: ignore[method-assign]
    report = await reported(parts, incident_id, {"incident": {"id": incident_id}}, tmp_path)
    assert "There is no picture. Prometheus could not be asked: it is away" in report.read_text()
    assert not report.with_suffix(".svg").exists()


@pytest.mark.parametrize("which", ["nobody", "unmeasured"])
async def test_a_report_without_measurements_says_so(parts: Parts, tmp_path: Path, which: str) -> None:
    incident_id = which
    if which == "unmeasured":
        incident_id = await parts.ledger.write(
            lambda tx: incidents.open_new(
                tx, metric_id="infra.cpu_utilization", resource="api-9", category="infra", band=Band.CRITICAL,
                target=None, firing={}, labels={},
            )
        )  # fmt: skip
    report = await reported(parts, incident_id, {"incident": {"id": incident_id}}, tmp_path)
    assert "Prometheus has no measurement of that time" in report.read_text()


HOSTILE = ["</text><script>alert(1)</script>", "&lol;", "]]>", "\x00\x1b[2J", "\ud800", "'\" onload='x", "x" * 5000, ""]


@pytest.mark.parametrize("word", HOSTILE)
def test_a_stranger_s_words_are_text(word: str) -> None:
    drawn = svg(Curve(word, word, [(NOW, 1.0), (NOW + 30, 2.0)], [Threshold(word, 1.5, True)], [Mark(NOW + 5, word)]))
    usual = svg(Curve("a", "a", [(NOW, 1.0), (NOW + 30, 2.0)], [Threshold("a", 1.5, True)], [Mark(NOW + 5, "a")]))
    picture, other = ElementTree.fromstring(drawn.encode()), ElementTree.fromstring(usual)
    assert [each.tag for each in picture.iter()] == [each.tag for each in other.iter()]
    assert [sorted(each.attrib) for each in picture.iter()] == [sorted(each.attrib) for each in other.iter()]
    assert len(drawn) < 20_000


@pytest.mark.parametrize(
    "values", [[5.0], [0.0, 0.0], [-3.0, -1.0], [1e-9, 2e-9], [1e12, 3e12], [99.5, 99.6], [0.0, 1e-300]]
)
def test_any_values_have_an_axis_around_them(values: list[float]) -> None:
    series = [(NOW + 30 * number, value) for number, value in enumerate(values)]
    picture = ElementTree.fromstring(svg(Curve("x", "y", series)))
    for dot in points(picture):
        assert 92 <= float(dot.get("cy") or 0) <= 344
    assert 2 <= len(texts(picture, "value")) <= 12
    assert not re.search("nan|inf", ElementTree.tostring(picture, encoding="unicode"))


def test_nothing_is_drawn_over_a_time_without_measurements() -> None:
    series = [(NOW + 30 * number, 1.0) for number in range(20) if not 8 <= number <= 12]
    picture = ElementTree.fromstring(svg(Curve("x", "y", series)))
    assert [len((line.get("points") or "").split()) for line in picture.iter(f"{SVG}polyline")] == [8, 7]
