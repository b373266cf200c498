"""Tokens, roles, and the two files of the first start."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from remediator.auth.tokens import Role, allows, digest_of, first_tokens, is_name, looks_like_token, new_token


def test_tokens_are_long_random_and_recognisable() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(looks_like_token(token) and len(token) == 49 for token in tokens)


@pytest.mark.parametrize(
    "text",
    ["", "grace_", "grace_short", "x" * 49, new_token() + "\n", new_token()[:-1] + "é"],
    ids=["empty", "prefix", "short", "no prefix", "line break", "not ASCII"],
)
def test_what_is_no_token(text: str) -> None:
    assert not looks_like_token(text)


def test_the_digest_is_sha256_and_never_the_token() -> None:
    assert digest_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_roles_include_what_is_weaker_and_alertmanager_stands_alone() -> None:
    ladder = [Role.VIEWER, Role.APPROVER, Role.OPERATOR, Role.ADMIN]
    for higher, role in enumerate(ladder):
        for lower, needed in enumerate(ladder):
            assert allows(role, needed) == (higher >= lower)
        assert not allows(role, Role.ALERTMANAGER)
        assert not allows(Role.ALERTMANAGER, role)
    assert allows(Role.ALERTMANAGER, Role.ALERTMANAGER)


def test_names() -> None:
    assert is_name("ada@example.org")
    assert not any(is_name(name) for name in ("", "-x", "a b", "a" * 65, "a/b", "ä", "a\n"))


async def test_the_first_start_writes_two_private_files(tmp_path: Path, store: Any) -> None:
    written = await first_tokens(tmp_path / "data", store)
    assert [path.name for path in written] == ["alertmanager", "admin"]
    assert stat.S_IMODE((tmp_path / "data" / "tokens").stat().st_mode) == 0o700
    for path, role in zip(written, (Role.ALERTMANAGER, Role.ADMIN), strict=True):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        token = path.read_text()
        assert looks_like_token(token), "the bare token, without a newline"
        identity = await store.find(digest_of(token))
        assert identity is not None
        assert (identity.name, identity.role) == (path.name, role)
        assert token not in repr(store.rows)


async def test_later_starts_change_nothing(tmp_path: Path, store: Any) -> None:
    first = {path: path.read_text() for path in await first_tokens(tmp_path, store)}
    rows = dict(store.rows)
    assert await first_tokens(tmp_path, store) == ()
    assert {path: path.read_text() for path in first} == first
    assert store.rows == rows


async def test_a_lost_file_is_written_anew_and_its_token_ends(tmp_path: Path, store: Any) -> None:
    await first_tokens(tmp_path, store)
    path = tmp_path / "tokens" / "admin"
    lost = path.read_text()
    path.unlink()
    assert await first_tokens(tmp_path, store) == (path,)
    assert await store.find(digest_of(lost)) is None
    assert await store.find(digest_of(path.read_text())) is not None


async def test_a_revoked_token_does_not_come_back(tmp_path: Path, store: Any) -> None:
    await first_tokens(tmp_path, store)
    path = tmp_path / "tokens" / "admin"
    token = path.read_text()
    await store.revoke("admin")
    assert await first_tokens(tmp_path, store) == ()
    path.unlink()
    assert await first_tokens(tmp_path, store) == ()
    assert await store.find(digest_of(token)) is None
    assert not path.exists()


async def test_a_new_ledger_learns_the_tokens_of_an_old_folder(tmp_path: Path, store: Any) -> None:
    await first_tokens(tmp_path, store)
    token = (tmp_path / "tokens" / "alertmanager").read_text()
    store.rows.clear()
    assert await first_tokens(tmp_path, store) == ()
    assert await store.find(digest_of(token)) is not None


async def test_a_file_that_holds_no_token_is_not_believed(tmp_path: Path, store: Any) -> None:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "admin").write_text("hunter2")
    await first_tokens(tmp_path, store)
    assert await store.find(digest_of("hunter2")) is None
