"""Which Host and Origin headers are ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.auth.origin import host_allowed, is_loopback, origin_allowed


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:9782", "LOCALHOST:1", "127.0.0.1:9782", "10.0.0.7", "[::1]:9782", "grace.example.org:443"],
)
def test_hosts_that_are_ours(host: str) -> None:
    assert host_allowed(host, {"grace.example.org"})


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "a@localhost", "localhost/x",
     "localhost:x", "grace.example.org.evil.example", "[::1", ":9782", "localhost:99999"],
)  # fmt: skip
def test_hosts_that_are_not(host: str) -> None:
    assert not host_allowed(host, {"grace.example.org"})


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:9782", "localhost:9782"),
        ("https://grace.example.org", "grace.example.org"),
        ("https://grace.example.org", "grace.example.org:443"),
        ("http://[::1]:9782", "[::1]:9782"),
    ],
)
def test_origins_that_are_ours(origin: str, host: str) -> None:
    assert origin_allowed(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("null", "localhost:9782"),
        ("", "localhost:9782"),
        ("http://localhost:9783", "localhost:9782"),
        ("http://localhost", "localhost:9782"),
        ("http://evil.example", "localhost:9782"),
        ("file://", "localhost"),
        ("chrome-extension://abcdef", "abcdef"),
        ("http://localhost:9782@evil.example", "localhost:9782"),
    ],
)
def test_origins_that_are_not(origin: str, host: str) -> None:
    assert not origin_allowed(origin, host)


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False),
     ("::ffff:10.0.0.1", False), ("", False), (None, False), ("unix", False)],
)  # fmt: skip
def test_loopback(address: str | None, local: bool) -> None:
    assert is_loopback(address) is local


@given(st.text(), st.text())
def test_nothing_raises(one: str, other: str) -> None:
    host_allowed(one, {other})
    origin_allowed(one, other)
    origin_allowed(f"http://{one}", other)
    is_loopback(one)
