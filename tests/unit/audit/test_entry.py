"""Sealing: canonical, linked, and never at a loss over what strangers send."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from catalog.model import Band, Tier
from remediator.audit.canonical import canonical, plain
from remediator.audit.chain import Chain
from remediator.audit.entry import GENESIS, Entry, seal


def entry(**changes) -> Entry:
    values = {
        "seq": 1, "at": 1.5, "kind": "alert", "incident_id": "inc-1", "run_id": None, "actor": "grace", "body": {},
    } | changes  # fmt: skip
    return Entry(**values)


def test_the_hash_can_be_reproduced_from_the_documented_bytes():
    sealed = seal(GENESIS, entry(body={"b": 1.0, "a": "é"}))
    text = (
        '{"actor":"grace","at":1.5,"body":{"a":"é","b":1},"incident_id":"inc-1","kind":"alert","run_id":null,"seq":1}'
    )
    assert sealed.text == text
    assert sealed.hash == hashlib.sha256(b"grace/audit/entry/v1\0" + bytes(32) + text.encode()).digest()
    assert sealed.row() == {
        "seq": 1, "at": 1.5, "kind": "alert", "incident_id": "inc-1", "run_id": None, "actor": "grace",
        "entry": text, "prev": "00" * 32, "hash": sealed.hash.hex(),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Tier.TIER_2, 2),
        (Band.CRITICAL, "critical"),
        (2**60, str(2**60)),
        (-(2**53), str(-(2**53))),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        ("a\ud800b", "a�b"),
        ("😀", "😀"),
        (("x", ["y"]), ["x", ["y"]]),
        ({3, 1, 2}, [1, 2, 3]),
        (b"\xff", "b'\\xff'"),
        (Decimal("0.1"), "0.1"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01 00:00:00+00:00"),
        ({1: True, None: None}, {"1": True, "None": None}),
        (True, True),
    ],
)
def test_anything_can_be_said(value, said):
    assert plain(value) == said
    assert json.loads(seal(GENESIS, entry(body={"v": value})).text)["body"] == {"v": said}


def test_what_is_nested_too_deep_is_named_not_followed():
    deep: object = "end"
    for _ in range(5000):
        deep = [deep]
    assert "nested too deep" in seal(GENESIS, entry(body={"v": deep})).text


stranger = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec=None)), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters(codec=None)), stranger, max_size=5))
@settings(max_examples=300, deadline=None)
def test_no_body_of_a_stranger_fails_to_be_sealed(body):
    sealed = seal(GENESIS, entry(body=body))
    # As JavaScript reads it, where every number is a double.
    assert rfc8785.dumps(json.loads(sealed.text, parse_int=float)).decode() == sealed.text
    # As the verifier reads it: the very same as the standard decoder.
    said = from_json(sealed.text.encode(), allow_inf_nan=False)
    assert repr(said) == repr(json.loads(sealed.text))


numbers = st.one_of(
    st.floats(), st.floats(-1, 1), st.integers(-(2**60), 2**60), st.integers(-400, 400).map(lambda n: n / 8),
    st.builds(lambda digits, power: digits * 10.0**power, st.integers(-9999, 9999), st.integers(-30, 25)),
)  # fmt: skip


@given(st.lists(numbers, max_size=30), st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=9))
@settings(max_examples=1000, deadline=None)
def test_the_fast_way_writes_the_very_bytes_of_the_library(values, words):
    for value in (values, words, {"values": values, **words}):
        assert canonical(value) == rfc8785.dumps(plain(value))


def test_the_fast_way_knows_its_limits():
    for value in (
        1e-5,
        1.5e-5,
        9.5e-5,
        1e-4,
        1.5e16,
        1e16 + 2,
        1e21,
        1.5e300,
        5e-324,
        -1e-7,
        -0.0,
        2.0**53,
        123456.789,
    ):
        assert canonical([value]) == rfc8785.dumps([value])
    astral, private = "\U0001f600", "\ue000"  # UTF-16 sorts them the other way round than code points do
    assert canonical({private: 1, astral: 2}) == rfc8785.dumps({private: 1, astral: 2})
    for control in map(chr, (*range(0x20), 0x7F, 0x80, 0x2028)):
        assert canonical(control) == rfc8785.dumps(control)


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": 0}, {"at": math.nan}, {"at": math.inf}, {"kind": ""}, {"actor": ""}, {"actor": "a\nb"},
        {"incident_id": "a\0"}, {"run_id": "\x1b[1m"}, {"kind": "\ud800"},
    ],
)  # fmt: skip
def test_an_entry_that_makes_no_sense_is_refused(changes):
    with pytest.raises(ValueError):
        entry(**changes)


class TestChain:
    def add(self, chain: Chain, kind: str = "k"):
        return chain.next(kind=kind, at=1.0, actor="grace", body={})

    def test_each_follows_from_the_one_before(self):
        chain = Chain()
        first, second = self.add(chain), self.add(chain)
        assert (first.prev, second.prev) == (GENESIS, first.hash)
        assert (first.entry.seq, second.entry.seq) == (1, 2)

    def test_it_goes_on_where_the_ledger_ended(self):
        sealed = self.add(Chain(b"h" * 32, 41))
        assert (sealed.entry.seq, sealed.prev) == (42, b"h" * 32)

    def test_nothing_counts_before_the_commit(self):
        chain = Chain()
        self.add(chain)
        assert (chain.seq, chain.hash) == (0, GENESIS)
        chain.rollback()
        kept = self.add(chain, "other")
        assert kept.entry.seq == 1
        chain.commit()
        assert (chain.seq, chain.hash) == (1, kept.hash)

    def test_a_savepoint_takes_back_only_what_came_after_it(self):
        chain = Chain()
        first = self.add(chain)
        mark = chain.mark()
        self.add(chain, "undone")
        chain.rollback(mark)
        second = self.add(chain)
        chain.commit()
        assert (second.entry.seq, second.prev) == (2, first.hash)

    def test_a_refused_entry_moves_nothing(self):
        chain = Chain()
        with pytest.raises(ValueError):
            self.add(chain, "")
        assert self.add(chain).entry.seq == 1
