"""Named points at which a test may kill this process, to prove that nothing is lost and nothing is done twice.

`GRACE_CRASH_AT=after_intent` makes the process send itself SIGKILL when it gets there; without it a point costs one
comparison. `GRACE_CRASH_AT=after_intent:2` means the second time, `after_intent:1:SIGSTOP` another signal.
"""

from __future__ import annotations

import os
import signal

_NAME, _COUNT, _SIGNAL = (*os.environ.get("GRACE_CRASH_AT", "").split(":"), "", "")[:3]
_left = int(_COUNT or 1)

POINTS = (
    "after_accept",
    "after_notice",
    "after_decision",
    "after_intent",
    "after_effect",
    "after_step",
    "after_verify",
)
"""In the order in which one incident passes them."""


def point(name: str) -> None:
    """Die here, if a test asked for it."""
    global _left
    if name != _NAME:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.Signals[_SIGNAL or "SIGKILL"])
