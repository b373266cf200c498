"""A password that is not written as a URL wants it is told to nobody, not even in part."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from catalog.config import GraceConfig, LedgerConfig
from remediator.database_url import database_url, ledger_place


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter@secret:word@host/db",  # the end of the password where a port stands
        "postgresql://u:hunter@secret@host/db",  # as a host
        "postgresql://u:hunter@5/secret@host/db",  # as a database
        "postgresql://u:hunter@5?secret=word@host/db",  # as a setting
        "postgresql://u/hunter:secret@host/db",  # all of it as a database
        "hunter secret",
    ],
)
def test_a_password_that_cannot_be_read_is_not_told(url: str) -> None:
    with pytest.raises(ValueError, match=r"not a database URL.*%40.*%3A.*password_file") as caught:
        database_url(url)
    told = "".join(traceback.format_exception(caught.value))
    assert not any(part in told for part in ("hunter", "secret", "word@host"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40ss%3Aword@host:5432/db",
        "postgresql://u:p:a/s?s#@host/db",
        "postgresql://u@host/db?application_name=a@b",
        "postgresql:///db?host=/run/pg@16",
        "sqlite:////srv/team@home:1/ledger.db",
    ],
)
def test_what_can_be_read_is(url: str) -> None:
    assert database_url(url).get_backend_name() == url.partition(":")[0]


def test_the_ledgers_place(tmp_path: Path) -> None:
    def place(url: str | None) -> Path | str:
        return ledger_place(GraceConfig(data_dir=tmp_path, ledger=LedgerConfig(url=url)))

    assert place(None) == tmp_path / "ledger.db"
    assert place("sqlite:////srv/ledger.db") == Path("/srv/ledger.db")
    assert place("postgresql://host/db") == "postgresql://host/db"
    for wrong in ("mysql://u:hunter2@host/db", "sqlite://", "postgresql://u:p@hunter2:x@host/db"):
        with pytest.raises(ValueError, match=r"^ledger\.url: ") as caught:
            place(wrong)
        assert "hunter2" not in str(caught.value)
