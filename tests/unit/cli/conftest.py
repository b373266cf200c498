"""A small real server that speaks like the remediator, in a thread, and the `grace` command pointed at it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from click.testing import CliRunner, Result

from grace.main import main


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    token: str
    body: bytes


@dataclass
class Fake:
    """Answers `(status, document)` by `METHOD /path`, else 404; remembers what it was asked."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def fake() -> Iterator[Fake]:
    known = Fake()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            known.asked.append(Asked(self.command, parts.path, dict(parse_qsl(parts.query)), token, body))
            missing = {"title": "Refused", "detail": "there is no such thing"}
            status, document = known.answers.get(f"{self.command} {parts.path}", (404, missing))
            if callable(document):
                document = document(known.asked[-1])
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield known
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Shell:
    folder: Path
    fake: Fake

    def grace(self, *arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(main, [*arguments], env={"GRACE_CONFIG": None, **environment})


@pytest.fixture
def shell(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder with a `.grace` that `grace up` could have written; it is the current one."""
    data = tmp_path / ".grace"
    (data / "tokens").mkdir(parents=True)
    (data / "tokens" / "admin").write_text("grace_admin")
    (data / "tokens" / "ada").write_text("grace_ada")
    (data / "tokens" / "alertmanager").write_text("grace_alertmanager")
    (data / "grace.yml").write_text(f"data_dir: .\nremediator_url: {fake.url}\n")
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, fake)
