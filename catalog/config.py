"""`grace.yml`: one file that says where everything is.

Every key has a default; an empty file is a working remediator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from catalog.model import Frozen, Seconds, TimeScale


def _beside(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return folder / path.expanduser() if folder else path


FilePath = Annotated[Path, AfterValidator(_beside)]
"""A path; in a file it is relative to that file's folder."""


class LedgerConfig(Frozen):
    url: str | None = None
    """SQLAlchemy URL (`sqlite:///PATH`, `postgresql://…`); `<data_dir>/ledger.db` where absent."""
    retention: Seconds = 90 * 86400.0
    """How long applied alerts and closed incidents are kept, with their runs and approvals; at least a day counts.

    The audit log is kept for ever.
    """


class PeerCredentials(Frozen):
    """How Grace proves itself to a peer: a bearer token, or a user with a password; in files, read again at use."""

    bearer_token_file: FilePath | None = None
    username: str = ""
    password_file: FilePath | None = None


class PrometheusConfig(PeerCredentials):
    url: str = "http://127.0.0.1:9090"
    timeout: Seconds = 10.0


class AlertmanagerConfig(PeerCredentials):
    url: str = "http://127.0.0.1:9093"
    receiver: str = "grace"
    reconcile_every: Seconds = 30.0


class NotifyChannel(Frozen):
    """Where people are told: always the log; `file` appends JSON lines."""

    name: str
    file: FilePath | None = None


class AuthConfig(Frozen):
    session_secret_file: FilePath | None = None


class AuditConfig(Frozen):
    key_file: FilePath | None = None
    checkpoints_file: FilePath | None = None
    checkpoint_every: Seconds = 60.0
    checkpoint_entries: int = Field(default=100, ge=1)


class GraceConfig(Frozen):
    data_dir: FilePath = Field(default=Path(".grace"), validate_default=True)
    catalog: tuple[FilePath, ...] = ()
    """Laid over the shipped catalog, in order."""
    inventory: FilePath | None = None
    governance: FilePath | None = None
    exporter: FilePath | None = None
    """What the exporter's collectors read (`exporter.yml`)."""
    ledger: LedgerConfig = LedgerConfig()
    prometheus: PrometheusConfig = PrometheusConfig()
    alertmanager: AlertmanagerConfig = AlertmanagerConfig()
    remediator_url: str = "http://127.0.0.1:9782"
    """Where the command line and the exporter find the remediator."""
    hosts: tuple[str, ...] = ()
    """Further names by which the remediator is reached; a request with another Host header is refused."""
    exporter_url: str = "http://127.0.0.1:9781"
    notify: tuple[NotifyChannel, ...] = ()
    auth: AuthConfig = AuthConfig()
    audit: AuditConfig = AuditConfig()
    time_scale: TimeScale = TimeScale()
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """Largest alert payload that is taken, in bytes."""
