"""The audit log read through the ledger, page by page: what it holds only grows, so that pages fit together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.audit.schema import COLUMNS
from remediator.audit.verify import Row
from remediator.ledger.engine import Ledger
from remediator.ledger.schema import audit

PAGE = 5000


def rows(ledger: Ledger, loop: asyncio.AbstractEventLoop) -> Iterator[Row]:
    """Every row in order, for a thread beside the loop that owns the ledger. Raises LedgerUnavailable."""
    after = 0
    while page := asyncio.run_coroutine_threadsafe(ledger.read(partial(_page, after=after)), loop).result():
        yield from page
        after = page[-1][0]


def _page(connection: Connection, after: int) -> list[Row]:
    columns = [audit.c[name] for name in COLUMNS]
    query = sa.select(*columns).where(audit.c.seq > after).order_by(audit.c.seq).limit(PAGE)
    return [tuple(row) for row in connection.execute(query)]
