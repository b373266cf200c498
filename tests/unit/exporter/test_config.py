from pathlib import Path

import pytest

from catalog.fault import CatalogError
from exporter.collectors.sql import SqlConfig
from exporter.config import load
from exporter.listener import Address


def written(folder: Path, exporter: str, grace: str = "") -> Path:
    (folder / "exporter.yml").write_text(exporter)
    path = folder / "grace.yml"
    path.write_text(f"exporter: exporter.yml\n{grace}")
    return path


GOOD = """\
collectors:
  - name: queue
    collector: sql
    url: sqlite:///data/tasks.db
    queries:
      - metric_ids: [executor.queue_depth]
        resource: workers
        sql: SELECT count(*) AS depth FROM tasks
        values: {grace_executor_queue_depth: depth}
"""


def test_paths_and_databases_lie_beside_the_file(tmp_path: Path) -> None:
    (collector,) = load(written(tmp_path, GOOD)).exporter.collectors
    assert isinstance(collector, SqlConfig)
    assert collector.url.get_secret_value() == f"sqlite:///{tmp_path}/data/tasks.db"


def test_intervals_are_scaled_with_the_configuration(tmp_path: Path) -> None:
    setting = load(written(tmp_path, GOOD, "time_scale: {drill: true}\n")).setting
    assert (setting.catalog.metrics["executor.queue_depth"].interval, setting.scrape_interval) == (3.0, 1.0)


def test_nothing_to_collect_is_a_configuration_too(tmp_path: Path) -> None:
    assert load(written(tmp_path, "")).exporter.collectors == ()
    (tmp_path / "empty.yml").write_text("")
    assert load(tmp_path / "empty.yml").exporter.collectors == ()


@pytest.mark.parametrize(
    ("wrong", "right", "place", "message"),
    [
        ("collector: sqll", "collector: sql", "exporter.yml:3:", 'did you mean "sql"'),
        ("executor.queue_dept]", "executor.queue_depth]", "exporter.yml:6:", 'did you mean "executor.queue_depth"'),
        ("{grace_executor_depth:", "{grace_executor_queue_depth:", "exporter.yml:9:", "is derived from"),
        ("name: Queue!", "name: queue", "exporter.yml:2:", '"Queue!"'),
        ("url: oracle://h/x", "url: sqlite:///data/tasks.db", "exporter.yml:4:", "oracle is not known"),
        ("intervall: 5s", "url: sqlite:///data/tasks.db", "exporter.yml:4:", 'did you mean "interval"'),
        ("queries: []", "", "exporter.yml", "at least 1"),
        ("  - name: queue\n    interval: soon", "  - name: queue", "exporter.yml:3:", "soon"),
    ],
)
def test_each_fault_is_told_with_its_place(tmp_path: Path, wrong: str, right: str, place: str, message: str) -> None:
    text = GOOD.replace(right, wrong) if right else GOOD[: GOOD.index("queries:")] + wrong
    with pytest.raises(CatalogError) as raised:
        load(written(tmp_path, text))
    said = [str(fault) for fault in raised.value.faults if place in str(fault) and message in str(fault)]
    assert said, str(raised.value)


def test_two_collectors_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = GOOD + GOOD.removeprefix("collectors:\n")
    with pytest.raises(CatalogError, match=r"exporter\.yml:10:.*also the name of collectors\[0\]"):
        load(written(tmp_path, twice))


QUEUE = """\
collectors:
  - name: queue
    collector: redis
    url: ${DATABASE}
    queues: [{metric_ids: [executor.queue_depth], resource: workers, key: work}]
"""


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (GOOD, "oracle://me:hunter2@db/x"),
        (GOOD, "postgresql://me:p@ss:hunter2@db/x"),
        (GOOD, "postgresql://me:p@hunter2@db/x"),
        (GOOD, "mysql://me:p@5/hunter2@db/x"),
        (GOOD, "mariadb://me/p:hunter2@db/x"),
        (QUEUE, "redis://:hunter2\u2100@db/0"),
        (QUEUE, "redis://:hunter2/@db/0"),
    ],
)
def test_a_secret_from_the_environment_is_not_quoted(tmp_path: Path, text: str, url: str) -> None:
    text = text.replace("sqlite:///data/tasks.db", "${DATABASE}")
    with pytest.raises(CatalogError, match=r"exporter\.yml:4:") as raised:
        load(written(tmp_path, text), environment={"DATABASE": url})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9781", "127.0.0.1", 9781),
        ("[::1]:9781", "::1", 9781),
        (":0", "", 0),
        ("localhost:1", "localhost", 1),
    ],
)
def test_addresses_are_written_as_prometheus_programs_do(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)


@pytest.mark.parametrize("text", ["", "9781", "h:", "h:99999", "h:-1", "::1:9781"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        Address.parse(text)
