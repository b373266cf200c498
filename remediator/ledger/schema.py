"""The tables, in SQLAlchemy Core, the same for SQLite and PostgreSQL. Times are epoch seconds (REAL)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from remediator.audit.schema import audit_table

VERSION = 5
"""Of the schema. A database of a newer version is refused; an older one is migrated forward."""

metadata = sa.MetaData()

# Ordered and paged by, so that their order must not depend on the database's locale.
_Id = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
# A re-sent alert takes a number of the sequence too.
_Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")

meta = sa.Table(
    "meta", metadata, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False)
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", _Serial, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("fingerprint", sa.Text, nullable=False, index=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("starts_at", sa.Float, nullable=False),
    sa.Column("ends_at", sa.Float),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("annotations", sa.JSON, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("received_at", sa.Float, nullable=False),
    sa.Column("handled", sa.Integer, nullable=False, server_default="0"),
    sa.Column("incident_id", _Id),
)


def _partial(name: str, *columns: sa.Column[Any], where: sa.ColumnElement[bool], unique: bool = False) -> sa.Index:
    # PostgreSQL is told by `for_postgresql`: naming it here would import its dialect, megabytes that SQLite spares.
    return sa.Index(name, *columns, unique=unique, sqlite_where=where, info={"where": where})


# Conditions of partial indexes are written out wherever they are asked: with a bound value the index is not used.
UNHANDLED = alerts.c.handled == sa.literal_column("0")
_partial("alerts_unhandled", alerts.c.id, where=UNHANDLED)

quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("id", _Serial, primary_key=True),
    sa.Column("received_at", sa.Float, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
)

incidents = sa.Table(
    "incidents",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("metric_id", sa.Text, nullable=False),
    sa.Column("resource", sa.Text, nullable=False),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("band", sa.Text, nullable=False),
    sa.Column("opened_band", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("target", sa.Text),
    sa.Column("opened_at", sa.Float, nullable=False),
    sa.Column("changed_at", sa.Float, nullable=False),
    sa.Column("closed_at", sa.Float),
    sa.Column("outcome", sa.Text),
    sa.Column("wake_at", sa.Float),
    sa.Column("owner", sa.Text),
    sa.Column("lease_until", sa.Float, nullable=False, server_default="0"),
    sa.Column("fence", sa.Integer, nullable=False, server_default="0"),
    sa.Column("firing", sa.JSON, nullable=False),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("last_notice_at", sa.Float, nullable=False),
    sa.Column("absent_polls", sa.Integer, nullable=False, server_default="0"),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("verdict", sa.Text),
    sa.Column("reasons", sa.JSON, nullable=False),
    sa.Column("decided", sa.Text, nullable=False, server_default=""),
)
_open = incidents.c.closed_at.is_(None)
_partial("incidents_open", incidents.c.metric_id, incidents.c.resource, unique=True, where=_open)
_partial("incidents_wake", incidents.c.wake_at, where=_open)
HEALED = incidents.c.outcome == sa.literal_column("'healed'")
_partial("incidents_healed", incidents.c.metric_id, incidents.c.resource, incidents.c.closed_at, where=HEALED)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("incident_id", _Id, index=True),
    sa.Column("playbook_id", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("group", sa.Text, nullable=False),
    sa.Column("tier", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("active", sa.Integer, nullable=False, server_default="0"),
    sa.Column("outcome", sa.Text),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("reasons", sa.JSON, nullable=False),
    sa.Column("confidence", sa.Float, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("started_at", sa.Float),
    sa.Column("acted_at", sa.Float),
    sa.Column("verify_until", sa.Float),
    sa.Column("ended_at", sa.Float),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("kept", sa.Integer, nullable=False, server_default="0"),
    sa.Column("release_at", sa.Float),
    sa.Column("released_steps", sa.Integer, nullable=False, server_default="0"),
    sa.Column("owner", sa.Text),
    sa.Column("lease_until", sa.Float, nullable=False, server_default="0"),
    sa.Column("fence", sa.Integer, nullable=False, server_default="0"),
)
ACTIVE = runs.c.active == sa.literal_column("1")
KEPT = runs.c.kept == sa.literal_column("1")
# The database is the mutex: at most one active run on a target.
_partial("runs_busy", runs.c.target, unique=True, where=ACTIVE)
sa.Index("runs_started", runs.c.started_at)
# Asked at every decision: what a playbook has proven, and when it last ran on a target.
sa.Index("runs_outcomes", runs.c.playbook_id, runs.c.outcome)
sa.Index("runs_of_target", runs.c.target, runs.c.playbook_id, runs.c.started_at)
ALONE = runs.c.incident_id.is_(None)
_partial("runs_alone", runs.c.state, where=ALONE)
_partial("runs_release", runs.c.release_at, where=KEPT)

steps = sa.Table(
    "steps",
    metadata,
    sa.Column("run_id", _Id, primary_key=True),
    sa.Column("phase", sa.Text, primary_key=True),
    sa.Column("index", sa.Integer, primary_key=True),
    sa.Column("verb", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("driver", sa.Text, nullable=False),
    sa.Column("before", sa.JSON, nullable=False),
    sa.Column("desired", sa.JSON, nullable=False),
    sa.Column("after", sa.JSON),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("intended_at", sa.Float, nullable=False),
    sa.Column("ended_at", sa.Float),
    sa.Column("error", sa.Text),
)

approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("run_id", _Id, nullable=False, index=True),
    sa.Column("incident_id", _Id),
    sa.Column("plan_digest", sa.Text, nullable=False),
    sa.Column("tier", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False, index=True),
    sa.Column("needed", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("expires_at", sa.Float, nullable=False),
    sa.Column("decided_at", sa.Float),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("policy", sa.Text, nullable=False, server_default=""),
)

votes = sa.Table(
    "approval_votes",
    metadata,
    sa.Column("approval_id", _Id, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("vote", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)

settings = sa.Table(
    "settings",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

holds = sa.Table(
    "holds",
    metadata,
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("until", sa.Float, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("revoked_at", sa.Float),
    sa.Column("target_groups", sa.JSON, nullable=False, server_default="[]"),
)

snapshots = sa.Table(
    "metrics_snapshots",
    metadata,
    sa.Column("id", _Serial, primary_key=True),
    sa.Column("incident_id", _Id, index=True),
    sa.Column("run_id", _Id),
    sa.Column("moment", sa.Text, nullable=False),
    sa.Column("metric_id", sa.Text, nullable=False),
    sa.Column("resource", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)

# What people have been told, whichever replica told it.
told = sa.Table(
    "told",
    metadata,
    sa.Column("occasion", sa.Text, primary_key=True),
    sa.Column("incident_id", _Id, index=True),
    sa.Column("at", sa.Float, nullable=False),
)

# Verified outcomes of runs that retention has let go of.
track_records = sa.Table(
    "track_records",
    metadata,
    sa.Column("playbook_id", sa.Text, primary_key=True),
    sa.Column("healed", sa.Integer, nullable=False),
    sa.Column("others", sa.Integer, nullable=False),
)

audit = audit_table(metadata)


def for_postgresql() -> None:
    """Tell the tables' partial indexes their conditions in PostgreSQL's words too."""
    for table in metadata.tables.values():
        for index in table.indexes:
            if "where" in index.info:
                index.dialect_options["postgresql"]["where"] = index.info["where"]
