"""A real Prometheus that scrapes one small page, for as long as the module's tests run."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PAGE = """\
# HELP shop_orders_total Orders taken.
# TYPE shop_orders_total counter
shop_orders_total{shop="north"} %(orders)d
shop_orders_total{shop="south"} %(orders)d
# TYPE shop_queue_depth gauge
shop_queue_depth{shop="north"} 3
shop_queue_depth{shop="south"} 5
# TYPE shop_wait_seconds histogram
shop_wait_seconds_bucket{le="0.5"} %(orders)d
shop_wait_seconds_bucket{le="+Inf"} %(orders)d
shop_wait_seconds_sum %(orders)d
shop_wait_seconds_count %(orders)d
# TYPE shop_alarms gauge
"""


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = (PAGE % {"orders": int(time.time())}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a test's output is for what failed."""


@dataclass(frozen=True)
class Watched:
    """The Prometheus, with data in it."""

    url: str

    def query(self, expr: str) -> list[Any]:
        return list(self._get("query", query=expr)["result"])

    def kinds(self) -> dict[str, Any]:
        return dict(self._get("metadata"))

    def _get(self, what: str, **fields: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(fields)}", timeout=5) as answer:
            return json.load(answer)["data"]


@pytest.fixture(scope="module")
def watched(prometheus_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Prometheus, after it has scraped the page a few times."""
    folder = tmp_path_factory.mktemp("prometheus")
    page = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    port = _free_port()
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['127.0.0.1:{page.server_port}']}}]}}]\n"
    )
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            [
                str(prometheus_binary),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    found = Watched(f"http://127.0.0.1:{port}")
    try:
        _await_data(found, child)
        yield found
    finally:
        child.terminate()
        child.wait(timeout=20)
        page.shutdown()
        page.server_close()


def _await_data(watched: Watched, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert child.poll() is None, "Prometheus ended"
        assert time.monotonic() < deadline, "Prometheus has no data after 60 s"
        try:
            if watched.query("count_over_time(shop_queue_depth[1m]) >= 3") and "shop_alarms" in watched.kinds():
                return
        except OSError:
            pass  # It does not listen yet.
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def panel(number: int, **changes: Any) -> dict[str, Any]:
    """A sound panel of the shop, with some fields changed."""
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number,
        "type": "timeseries",
        "title": f"Panel {number}",
        "description": "What the shop does.",
        "datasource": source,
        "gridPos": {"x": 12 * ((number - 1) % 2), "y": 8 * ((number - 1) // 2), "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": "short"}, "overrides": []},
        "targets": [
            {
                "refId": "A",
                "datasource": source,
                "expr": 'shop_queue_depth{shop=~"$shop"}',
                "legendFormat": "{{shop}}",
                "range": True,
            }
        ],
        **changes,
    }


@pytest.fixture
def dashboard() -> dict[str, Any]:
    """A sound dashboard with four panels; a test breaks one thing in it."""
    rated = panel(2, title="Orders")
    rated["targets"][0]["expr"] = "sum by (shop) (rate(shop_orders_total[$__rate_interval]))"
    waits = panel(3, title="Waits")
    waits["targets"][0] |= {
        "expr": "histogram_quantile(0.9, sum by (le) (rate(shop_wait_seconds_bucket[${window}])))",
        "legendFormat": "p90",
    }
    alarms = panel(4, title="Alarms")
    alarms["fieldConfig"]["defaults"]["noValue"] = "No alarm"
    alarms["targets"][0]["expr"] = "sum by (shop) (shop_alarms)"
    return {
        "uid": "shop",
        "title": "Shop",
        "description": "The shop.",
        "time": {"from": "now-5m", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus"},
                {
                    "name": "shop",
                    "type": "query",
                    "datasource": {"uid": "$source"},
                    "query": {"query": "label_values(shop_queue_depth, shop)", "refId": "x"},
                    "multi": True,
                    "includeAll": True,
                    "current": {"text": ["All"], "value": ["$__all"]},
                },
                {"name": "window", "type": "interval", "query": "1m,5m", "current": {"value": "1m"}},
            ]
        },
        "panels": [panel(1, title="Queue"), rated, waits, alarms],
    }
