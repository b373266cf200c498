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
    """A file with the token that is shown."""
    username: str = ""
    """The user of basic authentication."""
    password_file: FilePath | None = None
    """A file with that user's password."""


class PrometheusConfig(PeerCredentials):
    url: str = "http://127.0.0.1:9090"
    """Where queries are answered, with a path prefix where there is one."""
    timeout: Seconds = 10.0
    """How long a query may take."""


class AlertmanagerConfig(PeerCredentials):
    url: str = "http://127.0.0.1:9093"
    """Any one of a cluster."""
    receiver: str = "grace"
    """The name of the receiver whose webhook leads to Grace."""
    reconcile_every: Seconds = 30.0
    """How often it is asked for alerts that no webhook delivered."""


class NotifyChannel(Frozen):
    """Where people are told: always the log; `file` appends JSON lines, `url_file` reaches chats, mail and pagers."""

    name: str
    """What the channel is called."""
    file: FilePath | None = None
    """JSON lines are appended to it."""
    url_file: FilePath | None = None
    """Holds Apprise URLs, one a line (`slack://…`, `mailtos://…`): they are secrets. Needs the extra `apprise`."""


class AuthConfig(Frozen):
    session_secret_file: FilePath | None = None
    """What signs the sessions of the web page; `data_dir`/session.key, made at the first start, where absent.

    Replicas that share it share their sessions."""


class AuditConfig(Frozen):
    key_file: FilePath | None = None
    """The key that signs checkpoints; `<data_dir>/audit.key` where absent."""
    checkpoints_file: FilePath | None = None
    """Where checkpoints are kept, outside the database; `<data_dir>/checkpoints.log` where absent."""
    checkpoint_every: Seconds = 60.0
    """A checkpoint is signed at least this often while there are new entries,"""
    checkpoint_entries: int = Field(default=100, ge=1)
    """and after this many entries."""


class GraceConfig(Frozen):
    data_dir: FilePath = Field(default=Path(".grace"), validate_default=True)
    """Where everything is kept that Grace keeps."""
    catalog: tuple[FilePath, ...] = ()
    """Laid over the shipped catalog, in order."""
    inventory: FilePath | None = None
    """The targets (`inventory.yml`); none where absent."""
    governance: FilePath | None = None
    """The policy (`governance.yml`); its defaults where absent."""
    exporter: FilePath | None = None
    """What the exporter's collectors read (`exporter.yml`)."""
    ledger: LedgerConfig = LedgerConfig()
    """Where the durable state is."""
    prometheus: PrometheusConfig = PrometheusConfig()
    """Whom Grace asks for evidence."""
    alertmanager: AlertmanagerConfig = AlertmanagerConfig()
    """Who sends the alerts."""
    remediator_url: str = "http://127.0.0.1:9782"
    """Where the command line and the exporter find the remediator."""
    hosts: tuple[str, ...] = ()
    """Further names by which the remediator is reached; a request with another Host header is refused."""
    exporter_url: str = "http://127.0.0.1:9781"
    """Where the exporter is found."""
    notify: tuple[NotifyChannel, ...] = ()
    """Where people are told, beside the log."""
    auth: AuthConfig = AuthConfig()
    """Who is asking."""
    audit: AuditConfig = AuditConfig()
    """How the record is anchored."""
    time_scale: TimeScale = TimeScale()
    """For tests and drills: every interval shorter."""
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """Largest alert payload that is taken, in bytes."""

    @property
    def audit_key(self) -> Path:
        """What signs the audit log's checkpoints."""
        return self.audit.key_file or self.data_dir / "audit.key"

    @property
    def session_secret(self) -> Path:
        """What signs the sessions of the page."""
        return self.auth.session_secret_file or self.data_dir / "session.key"
