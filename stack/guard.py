"""Runs one program and answers for everything it starts: no descendant outlives the guard, nor the guard its parent.

Started as a plain script (`python -I -S guard.py …`), so it imports the standard library only. As a child subreaper it
inherits every orphan below it, own sessions and double forks included, and can therefore kill a whole tree.

    SIGTERM   stop: the program gets its stop signal, what is left after the time-out gets SIGKILL
    SIGQUIT   kill everything now
    SIGUSR1   the parent died (PR_SET_PDEATHSIG): stop within a few seconds

Exits with the program's exit code, or 128 + the signal that ended it, once nothing is left below it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ORPHANED = signal.SIGUSR1
WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGQUIT, ORPHANED)
ORPHAN_SECONDS = 3.0
LEFTOVER_SECONDS = 1.0
"""How long processes that the program left behind have, after SIGTERM, before SIGKILL."""
KILL_AGAIN_SECONDS = 0.05


def prctl(option: int, value: int) -> None:
    """Linux's prctl(2) with one argument. Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def descendants(root: int) -> list[int]:
    """Every living process below `root`, parents first; zombies are left out."""
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it ended while we were looking
        if state != "Z":
            below.setdefault(int(parent), []).append(int(name))
    found = [root]
    for pid in found:
        found.extend(below.get(pid, ()))
    return found[1:]


def send(pid: int, number: int) -> None:
    """A signal, where the process still lives."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def start(argv: list[str]) -> int:
    """The pid of the program, which dies with this process."""
    guard = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        os.execvp(argv[0], argv)  # noqa: S606 — an argument list is what we want
    except OSError as error:
        os.write(2, f"{argv[0]} cannot be started: {error.strerror}\n".encode())
        os._exit(127)


def watch(program: int, stop_signal: int, stop_seconds: float) -> int:
    """Waits until the program and all it left behind are gone; its exit code."""
    code, deadline = 0, float("inf")
    while True:
        told = _wait(deadline)
        if told == signal.SIGCHLD:
            ended, alone = reap()
            if program in ended:
                code = ended[program]
                for pid in descendants(os.getpid()):
                    send(pid, signal.SIGTERM)
                deadline = min(deadline, time.monotonic() + LEFTOVER_SECONDS)
            if alone:
                return code
        elif told in (signal.SIGTERM, ORPHANED):
            send(program, stop_signal)
            seconds = stop_seconds if told == signal.SIGTERM else ORPHAN_SECONDS
            deadline = min(deadline, time.monotonic() + seconds)
        else:  # SIGQUIT, or the time is over
            for pid in descendants(os.getpid()):
                send(pid, signal.SIGKILL)
            deadline = time.monotonic() + KILL_AGAIN_SECONDS


def reap() -> tuple[dict[int, int], bool]:
    """Exit codes of the children that ended, by pid, and whether no child is left at all."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, True
        if pid == 0:
            return ended, False
        code = os.waitstatus_to_exitcode(status)
        ended[pid] = code if code >= 0 else 128 - code


def _wait(deadline: float) -> int | None:
    """The next watched signal, or None when the deadline (monotonic) has come."""
    if deadline == float("inf"):
        return signal.sigwait(WATCHED)
    told = signal.sigtimedwait(WATCHED, max(0.0, deadline - time.monotonic()))
    return None if told is None else told.si_signo


def main(arguments: list[str]) -> int:
    """`guard.py PARENT_PID PID_FD STOP_SIGNAL STOP_SECONDS PROGRAM [ARGUMENT…]`; tells the program's pid on PID_FD."""
    parent, pid_fd, stop_signal, stop_seconds = (float(word) for word in arguments[:4])
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, ORPHANED)
    if os.getppid() != int(parent):
        return 1
    os.set_inheritable(int(pid_fd), False)
    program = start(arguments[4:])
    os.write(int(pid_fd), str(program).encode())
    os.close(int(pid_fd))
    return watch(program, int(stop_signal), stop_seconds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
