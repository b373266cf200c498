"""The supervisor with real children: gates, order, restarts, stubborn trees, and its own violent death."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import psutil
import pytest

from stack import supervisor as supervisor_module
from stack.child import Child, Event, Phase, StartError
from stack.supervisor import Supervisor

STUBBORN_TREE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1] + '/grandchild', 'w').write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
while not os.path.exists(sys.argv[1] + '/grandchild'):
    time.sleep(0.01)
open(sys.argv[1] + '/ready', 'w').write(str(os.getpid()))
time.sleep(600)
"""


def python(name: str, source: str, *arguments: object, **fields: object) -> Child:
    argv = (sys.executable, "-S", "-c", textwrap.dedent(source), *map(str, arguments))
    return Child(name=name, argv=argv, **fields)  # type: ignore[arg-type]


def touches(path: Path, name: str, **fields: object) -> Child:
    return python(
        name,
        "import sys, time; open(sys.argv[1], 'w').close(); time.sleep(600)",
        path,
        ready_file=path,
        **fields,
    )


class Diary:
    """Remembers events, and lets a test wait for one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._more = asyncio.Condition()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._waker = asyncio.ensure_future(self._wake())

    async def _wake(self) -> None:
        async with self._more:
            self._more.notify_all()

    async def until(self, matches: Callable[[Event], bool], count: int = 1) -> list[Event]:
        async with asyncio.timeout(15), self._more:
            await self._more.wait_for(lambda: len([e for e in self.events if matches(e)]) >= count)
        return [event for event in self.events if matches(event)]

    def order(self, phase: Phase) -> list[str]:
        return [event.child for event in self.events if event.phase is phase]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def diary() -> Diary:
    return Diary()


async def vanish(pids: list[int], seconds: float = 8.0) -> None:
    """Waits until none of these processes lives any more."""
    deadline = time.monotonic() + seconds
    while living := [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]:
        assert time.monotonic() < deadline, f"still alive: {living}"
        await asyncio.sleep(0.02)


async def test_a_child_starts_after_what_it_needs_and_stops_before_it(
    tmp_path: Path, http: aiohttp.ClientSession, diary: Diary
) -> None:
    children = [
        touches(tmp_path / "c", "c", after=("b",)),
        touches(tmp_path / "b", "b", after=("a",)),
        touches(tmp_path / "a", "a"),
    ]
    supervisor = Supervisor(children, tmp_path / "logs", http, diary)
    await supervisor.start()
    pids = supervisor.pids
    await supervisor.stop()
    assert diary.order(Phase.READY) == ["a", "b", "c"]
    assert diary.order(Phase.STOPPED) == ["c", "b", "a"]
    assert set(pids) == {"a", "b", "c"}
    await vanish(list(pids.values()))


async def test_the_gates_open_for_a_url_a_unix_socket_and_a_file(
    tmp_path: Path, http: aiohttp.ClientSession, diary: Diary, free_port: Callable[[], int]
) -> None:
    port, path = free_port(), tmp_path / "s.sock"
    web = python(
        "web",
        """
        import http.server, sys
        http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
        """,
        port,
        ready_url=f"http://127.0.0.1:{port}/",
        cwd=tmp_path,
    )
    listener = python(
        "listener",
        "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); time.sleep(600)",
        path,
        ready_socket=path,
    )
    supervisor = Supervisor([web, listener], tmp_path / "logs", http, diary)
    await supervisor.start()
    await supervisor.stop()
    assert sorted(diary.order(Phase.READY)) == ["listener", "web"]


async def test_a_file_left_by_an_earlier_start_opens_no_gate(
    tmp_path: Path, http: aiohttp.ClientSession, diary: Diary
) -> None:
    (tmp_path / "old").touch()
    os.utime(tmp_path / "old", (1, 1))
    child = python("slow", "import time; time.sleep(600)", ready_file=tmp_path / "old", ready_timeout=0.4)
    supervisor = Supervisor([child], tmp_path / "logs", http, diary)
    with pytest.raises(StartError, match=r"slow was not ready within 0\.4 s"):
        await supervisor.start()
    await supervisor.stop()


async def test_a_child_that_dies_is_started_again_with_growing_pauses_and_reported(
    tmp_path: Path, http: aiohttp.ClientSession, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "BACKOFF_FIRST", 0.05)
    supervisor = Supervisor([touches(tmp_path / "a", "a")], tmp_path / "logs", http, diary)
    await supervisor.start()
    for times in (1, 2):
        os.kill(supervisor.pids["a"], signal.SIGKILL)
        await diary.until(lambda event: event.phase is Phase.READY, times + 1)
    restarts = [event.text for event in diary.events if event.phase is Phase.RESTARTING]
    assert restarts == [
        "was ended by SIGKILL; starting it again in 0.05 s",
        "was ended by SIGKILL; starting it again in 0.1 s",
    ]
    assert supervisor.restarts == {"a": 2}
    await supervisor.stop()


async def test_a_child_that_ends_before_it_is_ready_fails_the_start_with_its_last_words(
    tmp_path: Path, http: aiohttp.ClientSession, diary: Diary
) -> None:
    child = python("broken", "import sys; sys.exit('no space left on device')", ready_file=tmp_path / "never")
    supervisor = Supervisor([child, touches(tmp_path / "a", "a")], tmp_path / "logs", http, diary)
    with pytest.raises(StartError, match="broken ended with exit code 1: no space left on device"):
        await supervisor.start()
    pids = list(supervisor.pids.values())
    await supervisor.stop()
    await vanish(pids)


async def test_a_program_that_does_not_exist_is_named(
    tmp_path: Path, http: aiohttp.ClientSession, diary: Diary
) -> None:
    supervisor = Supervisor([Child("ghost", ("/nowhere/ghost",), ready_file=tmp_path / "x")], tmp_path, http, diary)
    with pytest.raises(StartError, match="/nowhere/ghost cannot be started: No such file"):
        await supervisor.start()
    await supervisor.stop()


@pytest.mark.parametrize(("patience", "deadline"), [(0.5, supervisor_module.STOP_SECONDS), (600, 0.5)])
async def test_a_tree_that_ignores_sigterm_is_killed_when_its_patience_ends_or_that_of_all(
    tmp_path: Path,
    http: aiohttp.ClientSession,
    diary: Diary,
    monkeypatch: pytest.MonkeyPatch,
    patience: float,
    deadline: float,
) -> None:
    monkeypatch.setattr(supervisor_module, "STOP_SECONDS", deadline)
    child = python("stubborn", STUBBORN_TREE, tmp_path, ready_file=tmp_path / "ready", stop_timeout=patience)
    supervisor = Supervisor([child, touches(tmp_path / "x", "below")], tmp_path / "logs", http, diary)
    await supervisor.start()
    pids = [int((tmp_path / name).read_text()) for name in ("ready", "grandchild")]
    began = time.monotonic()
    await supervisor.stop()
    assert time.monotonic() - began < 3
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_what_a_dying_program_leaves_behind_goes_with_it(
    tmp_path: Path, http: aiohttp.ClientSession, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "BACKOFF_FIRST", 60)
    child = python("stubborn", STUBBORN_TREE, tmp_path, ready_file=tmp_path / "ready")
    supervisor = Supervisor([child], tmp_path / "logs", http, diary)
    await supervisor.start()
    grandchild = int((tmp_path / "grandchild").read_text())
    os.kill(supervisor.pids["stubborn"], signal.SIGKILL)
    await diary.until(lambda event: event.phase is Phase.RESTARTING)
    assert not psutil.pid_exists(grandchild)
    await supervisor.stop()


async def test_a_killed_guard_takes_its_whole_tree_along(
    tmp_path: Path, http: aiohttp.ClientSession, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "BACKOFF_FIRST", 60)
    child = python("stubborn", STUBBORN_TREE, tmp_path, ready_file=tmp_path / "ready")
    supervisor = Supervisor([child], tmp_path / "logs", http, diary)
    await supervisor.start()
    pids = [int((tmp_path / name).read_text()) for name in ("ready", "grandchild")]
    os.kill(psutil.Process(supervisor.pids["stubborn"]).ppid(), signal.SIGKILL)
    await diary.until(lambda event: event.phase is Phase.RESTARTING)
    await vanish(pids)
    await supervisor.stop()


async def test_kill_9_of_the_supervisor_leaves_nothing(tmp_path: Path) -> None:
    script = f"""
import asyncio, sys, aiohttp
from pathlib import Path
from stack.child import Child
from stack.supervisor import Supervisor

async def main():
    here = Path({str(tmp_path)!r})
    tree = Child("tree", (sys.executable, "-c", {STUBBORN_TREE!r}, str(here)), ready_file=here / "ready")
    calm = Child("calm", ("sleep", "600"))
    async with aiohttp.ClientSession() as http:
        supervisor = Supervisor([tree, calm], here / "logs", http, lambda event: None)
        await supervisor.start()
        print(*supervisor.pids.values(), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert process.stdout is not None
    pids = [int(word) for word in (await process.stdout.readline()).split()]
    pids.append(int((tmp_path / "grandchild").read_text()))
    guards = [psutil.Process(pid).ppid() for pid in pids[:2]]
    process.kill()
    await process.wait()
    assert len(pids) == 3
    await vanish(pids + guards)


async def test_a_childs_log_has_a_bound(
    tmp_path: Path, http: aiohttp.ClientSession, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    talks = python(
        "talker",
        """
        import sys, time
        for n in range(20000):
            print("line", n, flush=n % 100 == 0)
        open(sys.argv[1], "w").close()
        time.sleep(600)
        """,
        tmp_path / "said",
        ready_file=tmp_path / "said",
    )
    supervisor = Supervisor([talks], tmp_path / "logs", http, diary)
    monkeypatch.setattr(supervisor._kept["talker"].log, "_limit", 70_000)
    await supervisor.start()
    await supervisor.stop()
    sizes = [path.stat().st_size for path in (tmp_path / "logs").iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= 70_000
    assert "line 19999" in (tmp_path / "logs" / "talker.log").read_text()


def test_children_that_wait_for_each_other_are_refused(tmp_path: Path) -> None:
    children = [Child("a", ("true",), after=("b",)), Child("b", ("true",), after=("a",))]
    with pytest.raises(ValueError, match=r"wait for each other or for unknown ones: \['a', 'b'\]"):
        Supervisor(children, tmp_path, None, lambda event: None)  # type: ignore[arg-type]
