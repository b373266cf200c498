"""A real service under gunicorn, whose workers are killed, measured by a real exporter."""

import os
import signal
from typing import Any

COLLECTORS = """
collectors:
  - name: shards
    collector: multiprocess
    metric_ids: [api.latency_p95, api.error_rate, api.request_rate, api.saturation]
    resource: api
    directories: [{path: multiproc, labels: {shard: one}}]
  - name: hosts
    collector: psutil
    metric_ids: [infra.cpu_utilization, infra.memory_utilization]
    hosts: [{resource: one, pidfile: service.pid, cores: 2, memory_bytes: 1073741824}]
"""
WORKERS = 'grace_http_workers{resource="api",shard="one"}'
CPU = 'grace_host_cpu_utilization_ratio{resource="one"}'


def requests(metrics: dict[str, float], code: int) -> float:
    labels = f'{{code="{code}",method="GET",resource="api",route="/answer/{{code}}",shard="one"}}'
    return metrics.get(f"grace_http_requests_total{labels}", 0.0)


def test_killed_workers_take_their_gauges_with_them_and_leave_their_counts(service: Any, exporter: Any) -> None:
    exporter.configure(COLLECTORS)
    for _ in range(30):
        service.ask(200)
    service.ask(503)
    exporter.start()
    exporter.until(lambda found: found.get(WORKERS) == 2 and requests(found, 200) == 31 and requests(found, 503) == 1)
    exporter.until(lambda found: CPU in found)
    spikes = []
    for worker in service.workers():
        os.kill(worker, signal.SIGKILL)
        exporter.until(lambda found, worker=worker: worker not in service.workers() and len(service.workers()) == 2)
        exporter.until(lambda found: spikes.append(found[CPU]) or found.get(WORKERS) == 2)
        assert requests(exporter.metrics(), 200) == 31
    service.ask(200)
    exporter.until(lambda found: requests(found, 200) == 32)
    # Two Python processes started, on two cores, within seconds: busy, but no more than there is.
    assert all(0 <= spike <= 1.1 for spike in spikes), spikes


def test_a_service_that_is_down_is_not_idle(service: Any, exporter: Any) -> None:
    exporter.configure(COLLECTORS)
    exporter.start()
    exporter.until(lambda found: found.get(WORKERS) == 2)
    service.stop()
    exporter.until(lambda found: found['grace_collector_success{collector="shards"}'] == 0)
    exporter.until(lambda found: not [key for key in found if key.startswith("grace_http_")])
    assert "no live worker writes into" in exporter.log()
    service.start()
    exporter.until(lambda found: found.get(WORKERS) == 2 and requests(found, 200) >= 2)
    assert "collector recovered" in exporter.log()


def test_seconds_of_waiting_are_counted_while_they_pass(service: Any, exporter: Any) -> None:
    exporter.configure(COLLECTORS)
    exporter.start()
    service.ask(200, sleep=1.0)
    busy, total = (
        'grace_http_busy_seconds_total{resource="api",shard="one"}',
        'grace_http_request_duration_seconds_sum{method="GET",resource="api",route="/answer/{code}",shard="one"}',
    )
    exporter.until(lambda found: found.get(total, 0) > 1.0)
    found = exporter.metrics()
    assert 1.0 <= found[busy] <= 1.5
    assert found[total] <= 1.5
