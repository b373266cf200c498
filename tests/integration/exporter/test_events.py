"""Services that tell their metrics themselves, to a real exporter."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

ORDERS = Path(__file__).parents[2] / "unit" / "exporter" / "data" / "orders.yaml"
COLLECTORS = """
collectors:
  - name: orders
    collector: events
    metric_ids: [orders.backlog, orders.failures]
    token_file: token
"""
TOKEN = "a-token-of-the-shop"
FAILED = 'orders_total{resource="shop",state="failed"}'


def event(metric: str, value: float) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    return {"metric_id": metric, "value": value, "unit": "count", "resource": "shop", "observed_at": at, "source": "t"}


@pytest.fixture
def told(exporter: Any, tmp_path: Path) -> Any:
    exporter.configure(COLLECTORS, f"catalog: [{ORDERS}]\ntime_scale: {{drill: true}}\n")
    (tmp_path / "token").write_text(TOKEN)
    exporter.start()
    exporter.until(lambda found: found.get('grace_collector_success{collector="orders"}') == 1)
    return exporter


def post(exporter: Any, body: Any, token: str = TOKEN) -> tuple[int, Any]:
    request = urllib.request.Request(f"{exporter.url}/api/v1/events", data=json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_what_is_told_is_scraped_and_withdrawn_when_it_is_not_told_again(told: Any) -> None:
    at = datetime.now(UTC).timestamp()
    assert post(told, [event("orders.backlog", 7), event("orders.failures", 2), event("orders.nothing", 1)])[0] == 207
    told.until(lambda found: found.get('orders_backlog{resource="shop"}') == 7)
    found = told.metrics()
    assert found[FAILED] == 2
    stamp = found['grace_sample_timestamp_seconds{metric_id="orders.backlog",resource="shop"}']
    assert at <= stamp < at + 5
    assert found['grace_exporter_events_total{outcome="accepted"}'] == 2
    assert found['grace_exporter_events_total{outcome="refused"}'] == 1
    told.until(lambda found: 'orders_backlog{resource="shop"}' not in found)
    assert told.metrics()[FAILED] == 2
    assert told.log().count("events refused") == 1


def test_a_changed_token_counts(told: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("another-token-of-it")
    told.until(lambda _: post(told, event("orders.failures", 1))[0] == 401)
    assert post(told, event("orders.failures", 1), "another-token-of-it")[0] == 202
    for secret in (TOKEN, "another-token-of-it"):
        assert secret not in told.log()


# Curl comes with no package of ours. What it sees, tests/unit/exporter/test_intake.py proves without it.
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_curl_with_a_hundred_megabytes_hears_no_before_it_sends(told: Any, tmp_path: Path) -> None:
    body = tmp_path / "large"
    with body.open("wb") as file:
        file.truncate(100 * 2**20)
    headers = [
        part for each in (f"Authorization: Bearer {TOKEN}", "Content-Type: application/json") for part in ("-H", each)
    ]
    shown = ["-s", "-o", "/dev/null", "-w", "%{http_code} %{size_upload}"]
    command = ["curl", *shown, *headers, "--data-binary", f"@{body}", f"{told.url}/api/v1/events"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    code, sent = done.stdout.split()
    assert code == "413"
    assert int(sent) < 2**20
