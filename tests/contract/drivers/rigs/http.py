"""A real HTTP service with a control endpoint, in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catalog.inventory import Target
from catalog.model import Verb
from tests.contract.drivers.rigs.base import Rig

# What it holds lies in a file, which is how the tests read it without asking it.
SERVICE = r"""
import json, pathlib, socket, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder = pathlib.Path(sys.argv[1])
held = folder / "held.json"
held.write_text(json.dumps({"workers": 2, "rate": 60, "paused": False, "born": 1000.0, "jobs": 0, "keys": []}))


class Control(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def answer(self, status, document=None, **headers):
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        now = json.loads(held.read_text())
        faults = json.loads((folder / "faults.json").read_text()) if (folder / "faults.json").exists() else {}
        token = (folder / "accepted").read_text() if (folder / "accepted").exists() else "secret"
        if self.headers.get("Authorization") != f"Bearer {token}":
            return self.answer(401, {"detail": "who are you?"})
        change = self.command != "GET"
        if change and faults.get("status"):
            return self.answer(faults["status"], {"detail": "no"}, **faults.get("headers", {}))
        if self.command == "GET":
            return self.answer(200, {"state": now})
        now["keys"].append(self.headers.get("Idempotency-Key"))
        if faults.get("ignore"):
            pass
        elif self.path == "/pool":
            now["workers"] = json.loads(body)["set"]["workers"]
        elif self.path.startswith("/rate/"):
            number = self.path.removeprefix("/rate/")
            now["rate"] = float(number) if "." in number else int(number)
        elif self.path in ("/pause", "/resume"):
            now["paused"] = self.path == "/pause"
        elif self.path == "/restart":
            now["born"] = time.time()
        elif self.path == "/job":
            now["jobs"] += 1
        else:
            return self.answer(404)
        written = folder / "held.new"
        written.write_text(json.dumps(now))
        written.replace(held)
        if faults.get("lose_answer"):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        return self.answer(200, {"finding": "fine"} if self.path == "/job" else None)

    do_GET = do_PUT = do_POST = handle_any


server = ThreadingHTTPServer(("127.0.0.1", 0), Control)
(folder / "port").write_text(str(server.server_port))
server.serve_forever()
"""


class HttpRig(Rig):
    kind = "http"
    verb = Verb.SCALE
    args: Mapping[str, Any] = {"by": 1}
    step_timeout = 2.0
    expected: Any = 3
    key = "workers"

    def start(self) -> None:
        program = self.folder / "service.py"
        program.write_text(SERVICE)
        port = self.folder / "port"
        self.token = self.folder / "token"
        self.token.write_text("secret\n")
        self.token.chmod(0o644)
        self.spawn(
            sys.executable, str(program), str(self.folder), ready=lambda: port.exists() and port.read_text() != ""
        )
        self.url = f"http://127.0.0.1:{port.read_text()}"

    def config(self) -> Mapping[str, Any]:
        return {
            "url": self.url,
            "token_file": str(self.token),
            "scale": {
                "read": {"path": "/now", "pointer": "/state/workers"},
                "write": {"path": "/pool", "body": {"set": {"workers": "{value}"}}},
            },
            "throttle": {
                "read": {"path": "/now", "pointer": "/state/rate"},
                "write": {"method": "POST", "path": "/rate/{value}"},
                "min": 1,
            },
            "pause": {
                "read": {"path": "/now", "pointer": "/state/paused"},
                "pause": {"method": "POST", "path": "/pause"},
                "resume": {"method": "POST", "path": "/resume"},
            },
            "restart": {
                "read": {"path": "/now", "pointer": "/state/born"},
                "write": {"method": "POST", "path": "/restart"},
            },
            "run": {"write": {"method": "POST", "path": "/job"}},
        }

    def held(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / "held.json").read_text())
        return document

    def effect(self) -> Any:
        return self.held()[self.key]

    def fault(self, **faults: Any) -> None:
        """From now on the service behaves like this."""
        (self.folder / "faults.json").write_text(json.dumps(faults))

    def hanging(self) -> Target:
        return self.elsewhere(None)

    def garbled(self) -> Target:
        return self.elsewhere(b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"state": {"born": NaN')

    def elsewhere(self, reply: bytes | None) -> Target:
        """The target, but at a server that says only this, or nothing."""
        return self.target(url=f"http://127.0.0.1:{self.tcp_server(reply)}")

    def forbid(self) -> None:
        (self.folder / "accepted").write_text("another")


class HttpThrottleRig(HttpRig):
    verb = Verb.THROTTLE
    args: Mapping[str, Any] = {"factor": 0.5}
    expected = 30
    key = "rate"


class HttpPauseRig(HttpRig):
    verb = Verb.PAUSE
    args: Mapping[str, Any] = {}
    expected = True
    key = "paused"


class HttpRestartRig(HttpRig):
    verb = Verb.RESTART
    args: Mapping[str, Any] = {}
    expected = True

    def effect(self) -> Any:
        return self.held()["born"] > self.started_at


class HttpRunRig(HttpRig):
    verb = Verb.RUN
    args: Mapping[str, Any] = {}
    expected = {"ran": 1, "report": '{"finding": "fine"}'}  # noqa: RUF012

    def effect(self) -> Any:
        report = self.folder / "reports" / "run_1-0.json"
        return {"ran": self.held()["jobs"], "report": report.read_text() if report.exists() else None}

    def garbled(self) -> Target:
        return self.elsewhere(b"HTTP/9 what\r\n\r\n")

    def forbid(self) -> None:
        super().forbid()
        reports = Path(self.folder / "reports")
        reports.mkdir()
        reports.chmod(0o777)  # so that it is the service that refuses
