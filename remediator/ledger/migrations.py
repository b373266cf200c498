"""The schema's versions: forward only, one function a version, all of them in one transaction with the new number."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from remediator.audit.schema import TRIGGERS
from remediator.ledger import schema
from remediator.ledger.engine import LedgerRefused


def prepare(connection: Connection, place: str) -> int:
    """Create the schema where there is none, else bring it to this program's version; the version it was.

    Raises LedgerRefused when it was written by a newer program, or when its tables are not a ledger's.
    """
    found = version(connection)
    if found > schema.VERSION:
        raise LedgerRefused(
            f"{place} was written by a newer Grace (schema {found}; this one knows {schema.VERSION}): upgrade"
        )
    if connection.dialect.name == "postgresql":
        schema.for_postgresql()
    if found == 0:
        schema.metadata.create_all(connection)
        connection.execute(sa.insert(schema.meta), [{"name": "version", "value": str(schema.VERSION)}])
    for number in range(found + 1, schema.VERSION + 1) if found else ():
        MIGRATIONS[number](connection)
    if found != schema.VERSION:
        for statement in TRIGGERS[connection.dialect.name]:
            connection.exec_driver_sql(statement)
        connection.execute(
            sa.update(schema.meta).where(schema.meta.c.name == "version").values(value=str(schema.VERSION))
        )
    return found


def version(connection: Connection) -> int:
    """The schema's version in this database; 0 where there is none yet."""
    if not sa.inspect(connection).has_table(schema.meta.name):
        return 0
    value = connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.name == "version")).scalar()
    return int(value) if value and value.isdecimal() else 0


def _runs_get_leases(connection: Connection) -> None:
    """2: a run that no incident drives is claimed by one replica, as incidents are."""
    for column in ("owner TEXT", "lease_until FLOAT NOT NULL DEFAULT '0'", "fence INTEGER NOT NULL DEFAULT '0'"):
        connection.exec_driver_sql(f"ALTER TABLE runs ADD COLUMN {column}")
    for index in schema.runs.indexes | schema.approvals.indexes:
        index.create(connection, checkfirst=True)


def _more_is_remembered(connection: Connection) -> None:
    """3: the policy an approval was asked under, what people were told, outcomes of runs that were let go of."""
    connection.exec_driver_sql("ALTER TABLE approvals ADD COLUMN policy TEXT NOT NULL DEFAULT ''")
    for table in (schema.told, schema.track_records):
        table.create(connection)


def _tokens_get_groups(connection: Connection) -> None:
    """4: a token may be limited to groups of targets; heals are counted without reading every incident."""
    connection.exec_driver_sql("ALTER TABLE tokens ADD COLUMN target_groups JSON NOT NULL DEFAULT '[]'")
    for index in schema.incidents.indexes:
        index.create(connection, checkfirst=True)


def _decisions_get_indexes(connection: Connection) -> None:
    """5: what a playbook has proven, and its last run on a target, are found without reading every run."""
    for index in schema.runs.indexes:
        index.create(connection, checkfirst=True)


MIGRATIONS: Mapping[int, Callable[[Connection], None]] = {
    2: _runs_get_leases,
    3: _more_is_remembered,
    4: _tokens_get_groups,
    5: _decisions_get_indexes,
}
"""What leads to each version from the one before it. Never changed once released; a new version adds a row."""
