"""A log as Grace writes it: rows, checkpoints and a pinned key; in memory, in a ledger file, as an export."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from remediator.audit.chain import Chain
from remediator.audit.checkpoint import Checkpoint, Checkpointer, PublicKey, Signer
from remediator.audit.entry import GENESIS
from remediator.audit.export import lines
from remediator.audit.schema import TRIGGERS, audit_table
from remediator.audit.verify import Report, Row, verify

KINDS = ("alert_accepted", "incident_opened", "decided", "step_intended", "step_done", "run_verified")


@dataclass
class Log:
    """What a verifier is given. Tests tamper with `rows` and `notes`; `key` is what was pinned."""

    rows: list[Row]
    notes: list[tuple[int, str]]
    key: PublicKey
    signer: Signer = field(repr=False)

    @property
    def anchored(self) -> int:
        return max((int(text.split("\n")[1]) for _, text in self.notes), default=0)

    def verified(self) -> Report:
        return verify(self.rows, self.notes, (self.key,))


def write_log(chain: Chain, signer: Signer, entries: int, every: int, padding: int = 0) -> Log:
    """`entries` entries, anchored every `every` of them."""
    rows: list[Row] = []
    notes = [(1, signer.sign(Checkpoint(0, GENESIS)))]
    for number in range(1, entries + 1):
        sealed = chain.next(
            kind=KINDS[number % len(KINDS)],
            at=1_700_000_000 + number / 8,
            incident_id=f"inc-{number // 12}" if number % 5 else None,
            run_id=f"run-{number // 6}" if number % 3 else None,
            actor="grace" if number % 7 else "ingrid",
            body={"n": number, "share": number / 7, "text": "é" + "x" * (padding if number % 9 == 0 else 3)},
        )
        chain.commit()
        rows.append(tuple(sealed.row().values()))
        if number % every == 0:
            notes.append((6 * len(notes) + 1, signer.sign(Checkpoint(chain.seq, chain.hash))))
    return Log(rows, notes, signer.public, signer)


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer.generate()


@pytest.fixture
def log(signer) -> Log:
    return write_log(Chain(), signer, entries=60, every=10)


@pytest.fixture(scope="session")
def long_log(signer) -> Log:
    """With a tail that is not anchored yet. Tests do not change it."""
    return write_log(Chain(), signer, entries=65, every=10)


@dataclass
class Ledger:
    """A data folder with a ledger file, as the remediator leaves it."""

    folder: Path
    log: Log

    @property
    def file(self) -> Path:
        return self.folder / "ledger.db"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints.log"

    @property
    def key(self) -> Path:
        return self.folder / "audit.pub"

    def export(self, path: Path) -> Path:
        path.write_bytes(b"".join(lines(self.log.rows, self.log.notes, (self.log.key,))))
        return path


def make_ledger(folder: Path, entries: int = 60, every: int = 10, padding: int = 0, wal: bool = False) -> Ledger:
    checkpointer = Checkpointer(folder / "audit.key", folder / "checkpoints.log")
    log = write_log(Chain(), checkpointer.signer, entries, every, padding)
    metadata = sa.MetaData()
    table = audit_table(metadata)
    engine = sa.create_engine(f"sqlite:///{folder / 'ledger.db'}")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
    with engine.begin() as connection:
        metadata.create_all(connection)
        for statement in TRIGGERS["sqlite"]:
            connection.exec_driver_sql(statement)
        names = [column.name for column in table.columns]
        connection.execute(sa.insert(table), [dict(zip(names, row, strict=True)) for row in log.rows])
    engine.dispose()
    for row in log.rows:
        if row[0] % every == 0:
            checkpointer.write(row[0], bytes.fromhex(row[8]))
    return Ledger(folder, log)


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return make_ledger(tmp_path)


@pytest.fixture
def wide_ledger(tmp_path) -> Ledger:
    """Some entries longer than a page of the file."""
    return make_ledger(tmp_path, entries=20, padding=9000)
