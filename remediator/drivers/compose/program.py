"""The compose program: how many containers a service has is its business. A fixed argument list, no shell."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from remediator.drivers.command.job import Job, Limits
from remediator.drivers.redactor import Redactor
from remediator.errors import Permanent, Refused, Transient

_INHERITED = ("PATH", "HOME", "LANG", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
_OUTPUT_LIMIT = 65536


@dataclass(frozen=True, slots=True)
class Compose:
    """One service of one project."""

    binary: Path | None
    """`docker-compose`, or `docker` with its compose plugin; looked for on PATH where absent."""
    url: str
    """The engine."""
    project: str
    files: Sequence[Path]
    service: str

    def program(self) -> list[str]:
        """The words that the program is started with. Raises Permanent where there is none."""
        found = str(self.binary) if self.binary else shutil.which("docker-compose") or shutil.which("docker")
        if found is None or not os.access(found, os.X_OK):
            raise Permanent(
                f"there is no compose program{f' at {self.binary}' if self.binary else ' on PATH'}: install the package"
                " docker-compose-v2 or docker-compose-plugin, or name it as `binary`"
            )
        return [found, "compose"] if Path(found).name == "docker" else [found]

    async def knows_service(self, timeout: float) -> bool:
        """Whether the project's files describe the service. Raises Permanent where they cannot be read."""
        return self.service in (await self._run(["config", "--services"], timeout)).split()

    async def scale(self, count: int, kill_after: int, timeout: float) -> None:
        """Bring the service, and no other, to so many containers; those that are there stay as they are."""
        await self._run(
            [
                "up", "--detach", "--no-deps", "--no-recreate", "--no-build",
                "--timeout", str(kill_after), "--scale", f"{self.service}={count}", self.service,
            ],
            timeout,
        )  # fmt: skip

    async def _run(self, argv: Sequence[str], timeout: float) -> str:
        files = [word for file in self.files for word in ("--file", str(file))]
        job = Job(
            argv=[*self.program(), "--ansi", "never", "--project-name", self.project, *files, *argv],
            env={key: os.environ[key] for key in _INHERITED if key in os.environ} | {"DOCKER_HOST": self.url},
            cwd=self.files[0].parent,
            timeout=timeout,
            output_limit=_OUTPUT_LIMIT,
            user=None,
            limits=Limits(),
            redactor=Redactor,  # this is read, and not kept: what is told of it is redacted as any error is
        )
        nothing = os.open(os.devnull, os.O_RDONLY)
        with tempfile.TemporaryDirectory(prefix="grace-compose-") as folder:
            log = Path(folder) / "log"
            try:
                code = await job.run(log, nothing)
            except TimeoutError as error:
                raise Transient(f"compose did not end within {timeout:g} s and was killed") from error
            finally:
                os.close(nothing)
            said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        if code != 0:
            last = " ".join((said.strip().splitlines() or ["it said nothing"])[-1].split())
            if "permission denied" in said.lower():
                raise Refused(f"compose may not do it: {last}", reason="permission")
            raise Permanent(f"compose ended with exit code {code}: {last}")
        return said
