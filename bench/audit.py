"""How fast an audit log is sealed, anchored and verified: ledger file and export, sparsely and densely anchored."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from bench.figure import Figure
from remediator.audit.aside import WORTH_IT
from remediator.audit.chain import Chain
from remediator.audit.checkpoint import Checkpoint, Checkpointer, PublicKey, Signer
from remediator.audit.entry import GENESIS
from remediator.audit.export import ExportFile, lines
from remediator.audit.schema import TRIGGERS, audit_table
from remediator.audit.store import LedgerFile
from remediator.audit.verify import Report, verify

ENTRIES = 200_000
SPARSE, DENSE = 100, 10
"""Entries per checkpoint: as under load, and as where nearly every entry stands before an effect."""
REPEAT = 3


def figures() -> Iterator[Figure]:
    """The figures, best of three."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _figures(Path(folder))


def _figures(folder: Path) -> Iterator[Figure]:
    chain, signer = Chain(), Signer.generate()
    began = time.perf_counter()
    rows = [_sealed(chain, number) for number in range(1, ENTRIES + 1)]
    yield Figure("entries sealed", _rate(time.perf_counter() - began))
    chain.commit()
    _store(folder / "ledger.db", rows)
    yield _anchoring(folder)
    for every, wanted in ((SPARSE, "≥ 100,000/s"), (DENSE, "≥ 100,000/s")):
        notes = _notes(rows, signer, every)
        seconds = _best(partial(_ledger, folder / "ledger.db", notes, (signer.public,)))
        yield Figure(f"entries verified, ledger file, a checkpoint per {every}", _rate(seconds), wanted)
        export = folder / "log.jsonl"
        export.write_bytes(b"".join(lines(rows, notes, (signer.public,))))
        seconds = _best(partial(_export, export, (signer.public,)))
        yield Figure(f"entries verified, export, a checkpoint per {every}", _rate(seconds), wanted)
    yield Figure("size of an entry (canonical JSON)", f"{statistics.mean(len(str(row[6])) for row in rows):.0f} bytes")


def _sealed(chain: Chain, number: int) -> tuple[object, ...]:
    sealed = chain.next(
        kind="step_done",
        at=1_700_000_000 + number / 7,
        actor="grace",
        incident_id=f"inc_{number // 20:010}",
        run_id=f"run_{number // 10:010}",
        body={
            "metric_id": "infra.cpu_utilization",
            "step": number % 5,
            "observed": {"server": "api-1", "weight": 100},
            "desired": {"server": "api-1", "weight": 50},
            "reasons": ["within_ceiling"],
            "confidence": 0.8,
        },
    )
    return tuple(sealed.row().values())


def _store(path: Path, rows: Sequence[tuple[object, ...]]) -> None:
    metadata = sa.MetaData()
    table = audit_table(metadata)
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        metadata.create_all(connection)
        for statement in TRIGGERS["sqlite"]:
            connection.exec_driver_sql(statement)
        names = [column.name for column in table.columns]
        connection.execute(sa.insert(table), [dict(zip(names, row, strict=True)) for row in rows])
    engine.dispose()


def _anchoring(folder: Path) -> Figure:
    checkpointer = Checkpointer(folder / "audit.key", folder / "checkpoints.log")
    taken = []
    for number in range(1, 201):
        began = time.perf_counter()
        checkpointer.write(number, GENESIS)
        taken.append(time.perf_counter() - began)
    return Figure("checkpoint signed, appended and synced, median", f"{statistics.median(taken) * 1000:.2f} ms")


def _notes(rows: Sequence[tuple[object, ...]], signer: Signer, every: int) -> list[tuple[int, str]]:
    return [
        (number, signer.sign(Checkpoint(number, bytes.fromhex(str(rows[number - 1][8])))))
        for number in range(every, len(rows) + 1, every)
    ]


def _ledger(path: Path, notes: Sequence[tuple[int, str]], keys: Sequence[PublicKey]) -> Report:
    with LedgerFile(path) as ledger:
        return verify(ledger.rows(), notes, keys, aside=WORTH_IT)


def _export(path: Path, keys: Sequence[PublicKey]) -> Report:
    with ExportFile(path) as export:
        return verify(export.rows(), export.notes, keys, aside=WORTH_IT)


def _best(check: Callable[[], Report]) -> float:
    taken = []
    for _ in range(REPEAT):
        began = time.perf_counter()
        report = check()
        taken.append(time.perf_counter() - began)
        if not report.whole or report.entries != ENTRIES:
            sys.exit(f"the log that was just written does not verify: {report.faults}")
    return min(taken)


def _rate(seconds: float) -> str:
    return f"{ENTRIES / seconds:,.0f}/s"
