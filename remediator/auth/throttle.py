"""How often a peer may fail to prove who it is."""

from __future__ import annotations

import math
from collections import OrderedDict

from remediator.clock import Clock


class Throttle:
    """Counts failures by peer: `burst` at once, then one every `every` seconds. Remembers at most `peers` peers."""

    def __init__(self, clock: Clock, *, burst: int = 10, every: float = 6.0, peers: int = 4096) -> None:
        self._clock = clock
        self._burst = burst
        self._every = every
        self._peers = peers
        # When each peer's failures will all be forgiven (epoch seconds); the longest quiet peer first.
        self._forgiven: OrderedDict[str, float] = OrderedDict()

    def fail(self, peer: str) -> int:
        """Count one failure; 0, or the whole seconds this peer should wait before it tries again."""
        now = self._clock.now()
        forgiven = max(self._forgiven.pop(peer, now), now) + self._every
        wait = forgiven - now - self._burst * self._every
        if wait > 0:
            forgiven -= self._every  # an answer of "wait" does not lengthen the wait
        self._forgiven[peer] = forgiven
        if len(self._forgiven) > self._peers:
            self._forgiven.popitem(last=False)
        return max(0, math.ceil(wait))
