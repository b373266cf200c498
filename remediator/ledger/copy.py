"""A whole ledger from one database into another, whichever engines they have: the schema is the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.audit.schema import TRIGGERS
from remediator.ledger import schema
from remediator.ledger.engine import LedgerRefused
from remediator.ledger.migrations import prepare, version

TOGETHER = 1000
"""Rows read and written at a time."""


def copy(source: Connection, target: Connection, place: str) -> dict[str, int]:
    """Every row of `source` (one snapshot of it) in `target`, made ready for it; rows by table.

    Raises LedgerRefused when the source is no ledger of this version, or the target (`place`, for people) holds one.
    """
    found = version(source)
    if found != schema.VERSION:
        raise LedgerRefused(
            f"it is a ledger of version {found}, this program's is {schema.VERSION}: start the remediator on it once"
            if found
            else "it is not a ledger"
        )
    prepare(target, place)
    taken = [table.name for table in _tables() if _count(target, table)]
    if taken:
        raise LedgerRefused(f"{place} holds a ledger already ({', '.join(taken)}); name an empty database")
    return {table.name: _rows(source, target, table) for table in _tables()}


def counts(connection: Connection) -> dict[str, int]:
    """Rows by table."""
    return {table.name: _count(connection, table) for table in schema.metadata.sorted_tables}


def faults_of_postgres(connection: Connection) -> list[str]:
    """What is wrong beneath the values: triggers that are gone or off, indexes that are not valid, pages that broke."""
    on = {row[0] for row in connection.exec_driver_sql(_TRIGGERS_ON)}
    wanted = {line.split()[2] for line in TRIGGERS["postgresql"] if line.startswith("CREATE TRIGGER")}
    faults = [f"the audit log's trigger {name} is gone or switched off" for name in sorted(wanted - on)]
    faults += [f"the index {row[0]} is not valid" for row in connection.exec_driver_sql(_INVALID)]
    broken = connection.exec_driver_sql(_BROKEN).scalar()
    return [*faults, f"the server found {broken} pages with a wrong checksum"] if broken else faults


_TRIGGERS_ON = (
    "SELECT tgname FROM pg_trigger WHERE tgrelid = 'audit'::regclass AND tgenabled IN ('O', 'A') AND NOT tgisinternal"
)
_INVALID = (
    "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
    "WHERE NOT indisvalid AND relnamespace = current_schema()::regnamespace"
)
_BROKEN = "SELECT checksum_failures FROM pg_stat_database WHERE datname = current_database()"


def _tables() -> list[sa.Table]:
    return [table for table in schema.metadata.sorted_tables if table is not schema.meta]


def _count(connection: Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _rows(source: Connection, target: Connection, table: sa.Table) -> int:
    keys = list(table.primary_key.columns)
    copied = 0
    rows = source.execution_options(yield_per=TOGETHER).execute(sa.select(table).order_by(*keys)).mappings()
    for part in rows.partitions(TOGETHER):
        batch: list[Mapping[str, Any]] = [dict(row) for row in part]
        target.execute(sa.insert(table), batch)
        copied += len(batch)
    if target.dialect.name == "postgresql" and table.autoincrement_column is not None and copied:
        name = table.autoincrement_column.name
        target.exec_driver_sql(
            f"SELECT setval(pg_get_serial_sequence('{table.name}', '{name}'), (SELECT max({name}) FROM {table.name}))"  # noqa: S608
        )
    return copied
