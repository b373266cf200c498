"""Real sources of every kind of collector, and what can befall them."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from aiohttp import web
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from catalog.event import MetricEvent
from tests.contract.drivers.rigs.celery import redis_server

SLOW = 0.1
"""Seconds by which a slow source answers late."""


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for the condition, or fail."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (states of the outside world give no event)
            await asyncio.sleep(0.01)


class Rig:
    """A real source, and what can befall it. `slow` answers late but in time; every other fault lasts until `back`."""

    config: dict[str, Any]
    series: str

    async def start(self) -> None: ...
    def made(self, collector: Any) -> None: ...
    async def hang(self) -> None: ...
    async def raises(self) -> None: ...
    async def slow(self) -> None: ...
    async def wrong(self) -> None: ...
    async def gone(self) -> None: ...
    async def back(self) -> None: ...
    async def stop(self) -> None: ...


class SqlRig(Rig):
    """A view that answers, never ends, takes its time, says nonsense, or is not there."""

    series = "grace_executor_queue_depth"

    def __init__(self, path: Path) -> None:
        self.path = path / "tasks.db"
        self.config = {
            "collector": "sql",
            "url": f"sqlite:///{self.path}",
            "queries": [
                {
                    "metric_ids": ["executor.queue_depth"],
                    "resource": "workers",
                    "sql": "SELECT depth FROM queue",
                    "values": {"grace_executor_queue_depth": "depth"},
                }
            ],
        }

    def view(self, select: str) -> None:
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None, timeout=10)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("DROP VIEW IF EXISTS queue")
            connection.execute(f"CREATE VIEW queue AS {select}")

    async def start(self) -> None:
        self.view("SELECT 3 AS depth")

    async def hang(self) -> None:
        self.view("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) AS depth FROM n")

    async def raises(self) -> None:
        self.view("SELECT abs(-9223372036854775807 - 1) AS depth")

    async def slow(self) -> None:
        limit = "LIMIT 150000"
        self.view(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n {limit}) SELECT count(*) AS depth FROM n"
        )

    async def wrong(self) -> None:
        self.view("SELECT 'many' AS depth")

    async def gone(self) -> None:
        self.path.rename(self.path.with_suffix(".away"))

    async def back(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path.with_suffix(".away").rename(self.path)
        self.view("SELECT 4 AS depth")


class FileRig(Rig):
    """A file that can be swapped for a pipe nobody writes into, a folder, or nonsense."""

    file: Path
    content: bytes

    async def start(self) -> None:
        self.file.write_bytes(self.content)

    def clear(self) -> None:
        if self.file.is_fifo():
            # Whoever hangs in it reads an end of file.
            with contextlib.suppress(OSError):
                os.close(os.open(self.file, os.O_WRONLY | os.O_NONBLOCK))
            self.file.unlink()
        elif self.file.is_dir():
            self.file.rmdir()
        else:
            self.file.unlink(missing_ok=True)

    async def hang(self) -> None:
        self.clear()
        os.mkfifo(self.file)

    async def raises(self) -> None:
        self.clear()
        self.file.mkdir()

    async def slow(self) -> None:
        await self.hang()

        def write_late() -> None:
            time.sleep(SLOW)
            self.file.write_bytes(self.content)

        writer = threading.Thread(target=write_late)
        writer.start()
        await asyncio.to_thread(writer.join)
        await self.back()

    async def wrong(self) -> None:
        self.clear()
        self.file.write_bytes(b"\xff" * 64)

    async def gone(self) -> None:
        self.clear()

    async def back(self) -> None:
        self.clear()
        self.file.write_bytes(self.content)

    async def stop(self) -> None:
        self.clear()


class PsutilRig(FileRig):
    series = "grace_host_memory_utilization_ratio"

    def __init__(self, path: Path) -> None:
        self.file, self.content = path / "api.pid", str(os.getpid()).encode()
        host = {"resource": "api-1", "pidfile": str(self.file), "cores": 1, "memory_bytes": 2**30}
        self.config = {"collector": "psutil", "hosts": [host], "metric_ids": ["infra.memory_utilization"]}


class EventsRig(FileRig):
    """What befalls events befalls the file that holds their token."""

    series = "orders_total"

    def __init__(self, path: Path) -> None:
        self.file, self.content = path / "token", b"a-token-of-the-shop"
        self.config = {"collector": "events", "metric_ids": ["orders.failures"], "token_file": str(self.file)}

    def made(self, collector: Any) -> None:
        now = datetime.now(UTC)
        told = {"metric_id": "orders.failures", "value": 1, "unit": "count", "resource": "shop", "source": "test"}
        collector.take(MetricEvent.model_validate({**told, "observed_at": now}))


class MultiprocessRig(FileRig):
    series = "grace_http_requests_total"

    def __init__(self, path: Path) -> None:
        script = f"import sys\nheld = open({str(path / 'held')!r}, 'w+b')\nimport mmap\nheld.truncate(4096)\n"
        script += "kept = mmap.mmap(held.fileno(), 4096)\nprint(flush=True)\nsys.stdin.read()\n"
        self.worker = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.worker.stdout is not None
        self.worker.stdout.readline()
        directory = path / "multiproc"
        directory.mkdir()
        # What tells that the worker lives: a file of its own that it holds open.
        os.link(path / "held", directory / f"gauge_livesum_{self.worker.pid}.db")
        self.file = directory / f"counter_{self.worker.pid}.db"
        written = MmapedDict(str(path / "written"))
        written.write_value(mmap_key("grace_http_requests", "grace_http_requests_total", [], [], "Help."), 5.0, 0.0)
        written.close()
        self.content = (path / "written").read_bytes()[:4096]
        self.directory = directory
        self.config = {
            "collector": "multiprocess",
            "resource": "api",
            "metric_ids": ["api.request_rate"],
            "directories": [{"path": str(directory)}],
        }

    async def gone(self) -> None:
        self.directory.rename(self.directory.with_name("away"))

    async def back(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.directory.with_name("away").rename(self.directory)
        await super().back()

    async def stop(self) -> None:
        await super().stop()
        assert self.worker.stdin is not None
        assert self.worker.stdout is not None
        self.worker.stdin.close()
        self.worker.stdout.close()
        self.worker.wait()


class RemediatorRig(Rig):
    """A server that does to every request what `behave` does."""

    series = "grace_autonomy_approvals_pending"
    path = "/api/v1/status"

    def __init__(self, _: Path) -> None:
        self.behave: Callable[[], Awaitable[web.Response]] = self.answer
        self.released = asyncio.Event()
        self.port = 0
        self.runner: web.AppRunner | None = None

    async def answer(self) -> web.Response:
        return web.json_response({"autonomy": {"verified_runs": 2, "plan_success_ratio": None, "approvals_pending": 1}})

    async def start(self) -> None:
        async def handle(_: web.Request) -> web.Response:
            return await self.behave()

        app = web.Application()
        app.router.add_get(self.path, handle)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self.runner.addresses[0][1]
        self.config = self.configured(f"http://127.0.0.1:{self.port}{self.path}")

    def configured(self, url: str) -> dict[str, Any]:
        return {"collector": "remediator", "url": url, "metric_ids": ["autonomy.approvals_pending"]}

    async def hang(self) -> None:
        async def never() -> web.Response:
            await self.released.wait()
            return web.Response()

        self.behave = never

    async def raises(self) -> None:
        async def fail() -> web.Response:
            return web.Response(status=500)

        self.behave = fail

    async def slow(self) -> None:
        async def late() -> web.Response:
            await asyncio.sleep(SLOW)
            return await self.answer()

        self.behave = late

    async def wrong(self) -> None:
        async def nonsense() -> web.Response:
            return web.Response(text='{"autonomy": {"approvals_pending": "many"}}')

        self.behave = nonsense

    async def gone(self) -> None:
        await self.stop()

    async def back(self) -> None:
        self.released.set()
        self.behave = self.answer
        if self.runner is None:
            await self.start()

    async def stop(self) -> None:
        self.released.set()
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None


class HttpRig(RemediatorRig):
    series = "orders_backlog"
    path = "/stats"

    def configured(self, url: str) -> dict[str, Any]:
        values = {"orders_backlog": "$.autonomy.approvals_pending"}
        readings = [{"metric_ids": ["orders.backlog"], "resource": "shop", "values": values}]
        return {"collector": "http", "url": url, "readings": readings}


class KubernetesRig(RemediatorRig):
    series = "grace_pod_ready_ratio"
    path = "/apis/apps/v1/namespaces/default/deployments/api"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.kubeconfig = path / "kubeconfig"

    async def answer(self) -> web.Response:
        counts = {"spec": {"replicas": 2}, "status": {"readyReplicas": 1}}
        return web.json_response({"kind": "Deployment", **counts})

    def configured(self, url: str) -> dict[str, Any]:
        written = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": url.removesuffix(self.path)}}],
            "users": [{"name": "grace", "user": {"token": "let-me-in"}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "grace"}}],
        }
        self.kubeconfig.write_text(json.dumps(written))
        return {
            "collector": "kubernetes",
            "kubeconfig": str(self.kubeconfig),
            "workloads": [{"name": "api"}],
            "metric_ids": ["infra.pod_ready_ratio"],
        }


class RedisRig(Rig):
    """A real Redis, whose process is stopped, ended and started again."""

    series = "grace_executor_queue_depth"

    def __init__(self, path: Path) -> None:
        self.socket = path / "redis.sock"
        self.process: subprocess.Popen[bytes] | None = None
        queue = {"metric_ids": ["executor.queue_depth"], "key": "celery", "resource": "workers"}
        self.config = {"collector": "redis", "url": f"unix://{self.socket}?db=0", "queues": [queue]}

    async def start(self) -> None:
        self.process = self.serve()
        await until(lambda: self.put("RPUSH", "celery", "{}"))

    def serve(self) -> subprocess.Popen[bytes]:
        program, environment = redis_server()
        command = [str(program), "--port", "0", "--unixsocket", str(self.socket), "--save", ""]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, cwd=self.socket.parent)

    def put(self, *command: str) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis(unix_socket_path=str(self.socket)) as client:
            client.execute_command(*command)
            return True
        return False

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    async def hang(self) -> None:
        self.signal(signal.SIGSTOP)

    async def slow(self) -> None:
        self.signal(signal.SIGSTOP)
        await asyncio.sleep(SLOW)
        self.signal(signal.SIGCONT)

    async def raises(self) -> None:
        self.put("ACL", "SETUSER", "default", "-@all")

    async def wrong(self) -> None:
        self.put("DEL", "celery")
        self.put("SET", "celery", "a word")

    async def gone(self) -> None:
        await self.stop()

    async def back(self) -> None:
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class CeleryRig(RedisRig):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        queue = {"metric_ids": ["executor.queue_depth"], "resource": "workers"}
        self.config = {"collector": "celery", "broker": f"redis+socket://{self.socket}", "queues": [queue]}
