"""What keeps the stack from starting."""

from __future__ import annotations


class Unusable(Exception):
    """A port, disk, lock, program or configuration that cannot be used. The message says what to do; exit code 2."""
