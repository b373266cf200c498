"""Database URLs as people write them, and where the ledger is. What is said about a wrong one holds no part of it.

The errors of SQLAlchemy's own parser quote what stands in the port's place: after an unescaped `@`, the end of a
password.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from catalog.config import GraceConfig

_MEND = "in a password write @ as %40 and : as %3A, or keep it in a file (password_file; the ledger's: PGPASSFILE)"


def database_url(written: str) -> URL:
    """The URL. Raises ValueError for what is none, and where an unescaped `@` would tell a part of a password."""
    try:
        url = make_url(written)
    except (ArgumentError, ValueError):
        raise ValueError(f"not a database URL; write sqlite:///PATH or postgresql://USER@HOST/NAME - {_MEND}") from None
    if url.get_backend_name() != "sqlite" and "@" in _behind_credentials(written, url):
        # It would be read all the same: the end of the password as a host or a database, which are told.
        raise ValueError(f"not a database URL: it has an @ too many; {_MEND}")
    return url


def _behind_credentials(written: str, url: URL) -> str:
    """Where no `@` may stand as it is."""
    behind = written.partition("://")[2]
    if url.password is not None:
        return behind.partition(":")[2].partition("@")[2]
    return behind.partition("?")[0].partition("/")[2]


def ledger_place(config: GraceConfig) -> Path | str:
    """Where the ledger is: the path of a SQLite file, or the URL of a PostgreSQL database.

    Raises ValueError for a URL that means neither; its text holds no part of the URL but the kind.
    """
    if config.ledger.url is None:
        return config.data_dir / "ledger.db"
    try:
        url = database_url(config.ledger.url)
    except ValueError as error:
        raise ValueError(f"ledger.url: {error}") from None
    backend = url.get_backend_name()
    if backend == "postgresql":
        return config.ledger.url
    if backend != "sqlite" or not url.database:
        raise ValueError(f"ledger.url: {backend} is not supported; use sqlite:///PATH or postgresql://…")
    return Path(url.database)
