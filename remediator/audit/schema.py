"""The audit table, append-only by triggers of the database itself."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import BigInteger, Column, Double, Integer, MetaData, String, Table, Text

COLUMNS = ("seq", "at", "kind", "incident_id", "run_id", "actor", "entry", "prev", "hash")
"""In this order everywhere a row is read."""


def audit_table(metadata: MetaData) -> Table:
    """The table `audit` in this metadata. `entry` is the canonical JSON; other columns repeat it, for queries."""
    return Table(
        "audit",
        metadata,
        # Numbered by the chain, never by the database: a number that a rolled back transaction took must not be lost.
        Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
        Column("at", Double, nullable=False),
        Column("kind", Text, nullable=False),
        Column("incident_id", Text, nullable=True, index=True),
        Column("run_id", Text, nullable=True),
        Column("actor", Text, nullable=False),
        Column("entry", Text, nullable=False),
        Column("prev", String(64), nullable=False),
        Column("hash", String(64), nullable=False),
    )


TRIGGERS: Mapping[str, tuple[str, ...]] = {
    "sqlite": (
        """CREATE TRIGGER IF NOT EXISTS audit_refuses_update BEFORE UPDATE ON audit
           BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
        """CREATE TRIGGER IF NOT EXISTS audit_refuses_delete BEFORE DELETE ON audit
           BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
        # INSERT OR REPLACE deletes without asking the DELETE trigger; and nothing is ever inserted but at the end.
        """CREATE TRIGGER IF NOT EXISTS audit_appends_only BEFORE INSERT ON audit
           WHEN NEW.seq <> (SELECT COALESCE(MAX(seq), 0) + 1 FROM audit)
           BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
    ),
    "postgresql": (
        """CREATE OR REPLACE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$""",
        "DROP TRIGGER IF EXISTS audit_refuses_change ON audit",
        """CREATE TRIGGER audit_refuses_change BEFORE UPDATE OR DELETE ON audit
           FOR EACH ROW EXECUTE FUNCTION audit_refuses()""",
        "DROP TRIGGER IF EXISTS audit_refuses_truncate ON audit",
        """CREATE TRIGGER audit_refuses_truncate BEFORE TRUNCATE ON audit
           FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()""",
        """CREATE OR REPLACE FUNCTION audit_appends() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
             IF NEW.seq <> (SELECT COALESCE(MAX(seq), 0) + 1 FROM audit) THEN
               RAISE EXCEPTION 'the audit log is append-only';
             END IF;
             RETURN NEW;
           END $$""",
        "DROP TRIGGER IF EXISTS audit_appends_only ON audit",
        """CREATE TRIGGER audit_appends_only BEFORE INSERT ON audit
           FOR EACH ROW EXECUTE FUNCTION audit_appends()""",
    ),
}
"""By SQLAlchemy dialect name: statements to run after the table is made, in order; running them again is harmless."""
