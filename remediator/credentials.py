"""How Grace proves itself to Prometheus and Alertmanager, where they ask for it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from remediator.errors import Permanent


@dataclass(frozen=True, slots=True)
class Credentials:
    """A bearer token or a basic-auth password, each in a file that is read again for every request (rotation)."""

    bearer_token_file: Path | None = None
    username: str = ""
    password_file: Path | None = None

    def headers(self) -> dict[str, str]:
        """The Authorization header, or nothing where no file is named. Raises Permanent when a file cannot be read."""
        if self.bearer_token_file is not None:
            return {"Authorization": f"Bearer {_secret(self.bearer_token_file)}"}
        if self.password_file is not None:
            pair = f"{self.username}:{_secret(self.password_file)}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}


def _secret(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Permanent(f"the secret file {path} cannot be read") from error
