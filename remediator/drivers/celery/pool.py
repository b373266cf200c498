"""One node's pool of processes, by its process list: `max-concurrency` stays what it was at the start."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from remediator.clock import Clock
from remediator.drivers.celery.remote import Remote
from remediator.errors import Permanent, Refused, Transient

_POLL = 0.1
_STEADY = 0.5
# Celery looks after its pool every five seconds: so long may it take until one comes, or is seen to be gone.
_ROUND = 6.0
_BUSY = "all processes busy"
_AUTOSCALE = "autoscale"


class Pool:
    """Everything ends before `deadline` (epoch seconds by the clock)."""

    def __init__(self, remote: Remote, node: str, clock: Clock, patience: float, deadline: float) -> None:
        self._remote = remote
        self._node = node
        self._clock = clock
        self._patience = patience
        self._deadline = deadline

    async def pids(self) -> list[int]:
        return processes(self._node, (await self._remote.ask("stats", [self._node], self._patience))[self._node])

    async def resize(self, count: int) -> None:
        """Have `count` processes. Those that go are idle ones, the oldest first."""
        living = await self._steady(count)
        if len(living) < count:
            await self._grow(count - len(living), count)
        while (more := len(await self.pids()) - count) > 0:
            await self._shrink(more)

    async def renew(self, old: Sequence[int], count: int, surge: int) -> None:
        """Replace the processes `old`: new ones come first, then idle old ones go; `count` are there in the end."""
        while left := set(living := await self.pids()) & set(old):
            goal = count + min(surge, len(left))
            if len(living) < goal:
                await self._grow(goal - len(living), goal)
            idle = left - await self._busy()
            if idle:
                await self._shrink(min(surge, len(idle)))
            else:  # shrinking now would end a new one
                await self._wait(
                    Transient(f"{self._node}: {len(left)} old processes are busy; they go after their task")
                )
        await self.resize(count)

    async def _busy(self) -> set[int]:
        tasks = (await self._remote.ask("active", [self._node], self._patience))[self._node]
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise Permanent(f"{self._node} answered no list of tasks")
        return {task["worker_pid"] for task in tasks if isinstance(task.get("worker_pid"), int)}

    async def _steady(self, wanted: int) -> list[int]:
        """The list once it stands still: a process that is coming or going is not yet, or still, in it."""
        living = await self.pids()
        while len(living) != wanted:
            await self._clock.sleep(_STEADY)
            again = await self.pids()
            if again == living:
                return living
            living = again
            self._in_time(Transient(f"the processes of {self._node} come and go"))
        return living

    async def _grow(self, more: int, goal: int) -> None:
        self._said(await self._remote.tell("pool_grow", self._node, self._patience, n=more))
        await self._until(lambda count: count >= goal, f"to grow to {goal}")

    async def _shrink(self, fewer: int) -> None:
        """End as many of `fewer` as are idle, and wait until they are gone: until then they would count twice."""
        living = await self.pids()
        idle = len(set(living) - await self._busy())
        if not idle:
            await self._wait(Transient(f"{self._node}: every process is busy with a task; none is ended"))
            return
        fewer = min(fewer, idle)
        said = await self._remote.tell("pool_shrink", self._node, self._patience, n=fewer)
        if said is not None and _BUSY in said.lower():
            # Some took up a task meanwhile. How many went shows once the node has looked after its pool.
            self._in_time(Transient(f"{self._node}: its processes are busy with tasks"))
            await self._clock.sleep(_ROUND)
            return
        self._said(said)
        goal = len(living) - fewer
        await self._until(lambda count: count <= goal, f"to shrink to {goal}")

    async def _until(self, holds: Callable[[int], bool], asked: str) -> None:
        """Asking once more before this is seen would change twice, so waiting in vain is no reason to try again."""
        while not holds(len(await self.pids())):
            await self._wait(Permanent(f"{self._node} was asked {asked} processes and has {len(await self.pids())}"))

    async def _wait(self, otherwise: Transient | Permanent) -> None:
        self._in_time(otherwise)
        await self._clock.sleep(_POLL)

    def _in_time(self, otherwise: Transient | Permanent) -> None:
        if self._clock.now() >= self._deadline:
            raise otherwise

    def _said(self, said: str | None) -> None:
        if said is not None and _AUTOSCALE in said.lower():
            raise autoscaled(self._node)
        if said is not None:
            raise Permanent(f"{self._node} refused: {said}")


def processes(node: str, stats: object) -> list[int]:
    """Pids of a node's pool, from its answer to `stats`. Raises Refused for pools that have no processes."""
    pool = stats.get("pool") if isinstance(stats, dict) else None
    if not isinstance(pool, dict):
        raise Permanent(f"{node} answered no statistics of its pool")
    kind = str(pool.get("implementation", ""))
    if "prefork" not in kind:
        raise Refused(f"{node} runs {kind or 'an unknown pool'}: only prefork pools are resized", reason="wrong_pool")
    pids = pool.get("processes")
    if not isinstance(pids, list) or not all(isinstance(pid, int) and pid > 0 for pid in pids):
        raise Permanent(f"{node} answered no list of its processes")
    return pids


def autoscaled(node: str) -> Refused:
    return Refused(f"{node} has an autoscaler of its own (--autoscale): it is not fought", reason="autoscaled")
