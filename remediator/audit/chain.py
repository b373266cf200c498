"""The growing end of the chain, kept in step with the ledger's transactions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remediator.audit.entry import GENESIS, Entry, Sealed, seal


class Chain:
    """Seals entries one after another. What was sealed since the last `commit` counts only once that is called.

    One writer at a time owns it: seal inside the transaction that inserts the rows, then call `commit` after the
    database's COMMIT or `rollback` after its ROLLBACK. For a SAVEPOINT take a `mark` and roll back to it.
    """

    def __init__(self, head_hash: bytes = GENESIS, head_seq: int = 0) -> None:
        self._committed = (head_seq, head_hash)
        self._head = self._committed

    @property
    def seq(self) -> int:
        """Number of the last committed entry; 0 for none."""
        return self._committed[0]

    @property
    def hash(self) -> bytes:
        """Hash of the last committed entry; `GENESIS` for none."""
        return self._committed[1]

    def next(
        self,
        *,
        kind: str,
        at: float,
        actor: str,
        body: Mapping[str, Any],
        incident_id: str | None = None,
        run_id: str | None = None,
    ) -> Sealed:
        """The next entry, sealed; insert its `row()`. Raises ValueError as `Entry` does; then nothing moved."""
        seq, prev = self._head
        sealed = seal(prev, Entry(seq + 1, at, kind, incident_id, run_id, actor, body))
        self._head = (seq + 1, sealed.hash)
        return sealed

    def mark(self) -> tuple[int, bytes]:
        """Where the chain stands, uncommitted entries included: for `rollback` to a savepoint."""
        return self._head

    def commit(self) -> None:
        """The database has committed."""
        self._committed = self._head

    def rollback(self, mark: tuple[int, bytes] | None = None) -> None:
        """The database has rolled back: all of it, or to the savepoint at which `mark` was taken."""
        self._head = self._committed if mark is None else mark
