"""`grace.yml`: one file that says where everything is. Every key has a default; an empty file is a working remediator."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from catalog.model import Frozen, Seconds, TimeScale


class LedgerConfig(Frozen):
    url: str | None = None
    """SQLAlchemy URL (`sqlite:///PATH`, `postgresql://…`); `<data_dir>/ledger.db` where absent."""


class PrometheusConfig(Frozen):
    url: str = "http://127.0.0.1:9090"
    timeout: Seconds = 10.0


class AlertmanagerConfig(Frozen):
    url: str = "http://127.0.0.1:9093"
    receiver: str = "grace"
    reconcile_every: Seconds = 30.0


class NotifyChannel(Frozen):
    """Where people are told: always the log; `file` appends JSON lines."""

    name: str
    file: Path | None = None


class AuthConfig(Frozen):
    session_secret_file: Path | None = None


class AuditConfig(Frozen):
    key_file: Path | None = None
    checkpoints_file: Path | None = None
    checkpoint_every: Seconds = 60.0
    checkpoint_entries: int = Field(default=100, ge=1)


class GraceConfig(Frozen):
    data_dir: Path = Path(".grace")
    catalog: tuple[Path, ...] = ()
    """Laid over the shipped catalog, in order."""
    inventory: Path | None = None
    governance: Path | None = None
    exporter: Path | None = None
    """What the exporter's collectors read (`exporter.yml`)."""
    ledger: LedgerConfig = LedgerConfig()
    prometheus: PrometheusConfig = PrometheusConfig()
    alertmanager: AlertmanagerConfig = AlertmanagerConfig()
    remediator_url: str = "http://127.0.0.1:9782"
    """Where the command line and the exporter find the remediator."""
    exporter_url: str = "http://127.0.0.1:9781"
    notify: tuple[NotifyChannel, ...] = ()
    auth: AuthConfig = AuthConfig()
    audit: AuditConfig = AuditConfig()
    time_scale: TimeScale = TimeScale()
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """Largest alert payload that is taken, in bytes."""
