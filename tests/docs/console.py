"""Documentation that is run: its console blocks are typed into a shell, its files are written, its answers compared.

A block marked `console` holds lines beginning with `$ ` and what is printed after them; a block marked with a kind and
a name (`yaml ours.yaml`) is a file. In what is expected, a number stands for any number, an identifier (`inc_…`) for
the one that is really printed, from then on in commands too, and `…` for anything. How bad an incident is (warning or
critical) is not held against a page that says that this may differ. Lines must come in this order; others may stand
between them. A command that only looks is repeated until it shows what is expected.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^( *)```(\w+)(?: +(\S+))?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
IDENTIFIER = re.compile(r"\b(?:inc|run|app)_[0-9a-z]{6,}\b")
TOKENS = re.compile(r"(\b(?:inc|run|app)_[0-9a-z]{6,}\b|warning|critical|\d+(?:[.:-]\d+)*|…|\s+)")
LOOKS = re.compile(r"grace (status|incidents|runs|doctor|approvals(?! (approve|reject))|audit|governance$)|curl|test ")
PORTS = (9780, 9781, 9782, 9790, 9793, 9090, 9093)
"""Ports that the documentation names; each stands for a free one."""
PATIENCE = 120.0
BANDS = ("warning", "critical")
OF_AN_INCIDENT = re.compile(r"^inc_|detected: |alert firing: ")
"""Lines that say how bad an incident is: on a busy machine a fault's measurements are not those of an idle one."""


@dataclass(frozen=True)
class Block:
    """One fenced block: `kind` is the word after the fence, `name` the second one."""

    kind: str
    name: str
    text: str

    @property
    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Each command with what is expected of it; a line that ends with a backslash goes on."""
        command, expected = "", list[str]()
        for line in self.text.splitlines():
            if line.startswith("$ "):
                if command:
                    yield command, expected
                command, expected = line[2:], []
            elif command.endswith("\\"):
                command = f"{command[:-1].rstrip()} {line.strip()}"
            elif line.strip():
                expected.append(line)
        if command:
            yield command, expected


def blocks(path: Path) -> list[Block]:
    """Every fenced block of a page, in order, without its indentation."""
    found = []
    for indent, kind, name, text in FENCE.findall(path.read_text(encoding="utf-8")):
        lines = [line.removeprefix(indent) for line in text.splitlines()]
        found.append(Block(kind, name or "", "\n".join(lines) + "\n"))
    return found


def shell_lines(path: Path) -> list[str]:
    """The commands of a page's `sh` blocks, which take more than a shell to run, without their comments."""
    return [
        line.partition("  #")[0].strip()
        for block in blocks(path)
        if block.kind == "sh"
        for line in block.text.splitlines()
    ]


@dataclass
class Shell:
    """A folder in which a page is followed."""

    folder: Path
    free_port: Callable[[], int]
    path: str
    ids: dict[str, str] = field(default_factory=dict)
    _ports: dict[str, str] = field(default_factory=dict)
    _running: list[subprocess.Popen[str]] = field(default_factory=list)

    def follow(self, page: Path) -> int:
        """Write its files and run its commands; how many commands there were. Raises AssertionError."""
        count = 0
        for block in blocks(page):
            if block.kind == "console":
                for command, expected in block.commands:
                    self.run(command, expected)
                    count += 1
            elif block.name:
                file = self.folder / block.name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(self._told(block.text), encoding="utf-8")
        return count

    def run(self, command: str, expected: list[str]) -> None:
        real = self._told(command)
        if real.startswith("make up"):
            self._start(self._up(real), expected)
        elif real.endswith("&"):
            self._start(real.rstrip("& "), expected)
        else:
            self._compare(command, real, expected)

    def _compare(self, command: str, real: str, expected: list[str]) -> None:
        deadline = time.monotonic() + (PATIENCE if LOOKS.search(command) else 0)
        while True:
            done = subprocess.run(
                ["bash", "-c", real], cwd=self.folder, env=self._environment(), capture_output=True, text=True,
                timeout=300, check=False,
            )  # fmt: skip
            printed = done.stdout + done.stderr
            missing = self.missing(expected, printed)
            if missing is None:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"$ {command}\nexits {done.returncode} and prints\n{printed}\nbut not\n{missing}")
            time.sleep(0.5)

    def missing(self, expected: list[str], printed: str) -> str | None:
        """The first expected line that is not printed after the ones before it; None when all are."""
        rest = iter(printed.splitlines())
        learned: dict[str, str] = {}
        for line in expected:
            pattern, names = self._pattern(line, learned)
            for there in rest:
                match = pattern.fullmatch(there.strip())
                if match:
                    learned.update(zip(names, match.groups(), strict=True))
                    break
            else:
                return line
        self.ids.update(learned)
        return None

    def _pattern(self, line: str, learned: Mapping[str, str]) -> tuple[re.Pattern[str], list[str]]:
        parts, names = [], list[str]()
        for token in TOKENS.split(line.strip()):
            known = {**self.ids, **learned}.get(token)
            if known is not None:
                parts.append(re.escape(known))
            elif IDENTIFIER.fullmatch(token):
                parts.append(rf"({token[:4]}\w+)")
                names.append(token)
            elif token in BANDS and OF_AN_INCIDENT.search(line):
                parts.append(f"(?:{'|'.join(BANDS)})")
            elif token == "…":
                parts.append(".*")
            elif token.isspace():
                parts.append(r"\s+")
            elif token[:1].isdigit():
                parts.append(r"\d+(?:[.:-]\d+)*")
            else:
                parts.append(re.escape(token))
        return re.compile("".join(parts)), names

    def _told(self, text: str) -> str:
        """What the page says, with the identifiers and ports of this run."""
        for name, real in self.ids.items():
            text = text.replace(name, real)
        for port in PORTS:
            if re.search(rf"\b{port}\b", text):
                real = self._ports.setdefault(str(port), str(self.free_port()))
                text = re.sub(rf"\b{port}\b", real, text)
        return text

    def _up(self, command: str) -> str:
        options = re.search(r'ARGS="([^"]*)"', command)
        parts = ("exporter", "remediator", "prometheus", "alertmanager", "loadbalancer")
        ports = " ".join(f"--{part}-port 0" for part in parts)
        return f"grace up {options[1] if options else ''} {ports}"

    def _start(self, command: str, expected: list[str]) -> None:
        log = self.folder / f"background-{len(self._running)}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self._environment(), stdout=out, stderr=out,
                text=True,
            )  # fmt: skip
        self._running.append(process)
        deadline = time.monotonic() + PATIENCE
        while (missing := self.missing(expected, log.read_text())) is not None:
            assert process.poll() is None, f"$ {command}\nended:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"$ {command}\ndid not print {missing!r}:\n{log.read_text()}"
            time.sleep(0.2)

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{self.path}",
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "200",
        }

    def close(self) -> None:
        """End everything that was started, the last first."""
        for process in reversed(self._running):
            if process.poll() is None:
                process.send_signal(signal.SIGINT if "up" in str(process.args) else signal.SIGTERM)
        for process in reversed(self._running):
            process.wait(20)
