"""What is needed only to start is not kept."""

from __future__ import annotations

import ctypes
import gc

import pytest

from remediator import memory


@pytest.fixture
def thawed():
    yield
    gc.unfreeze()


def test_what_was_started_with_is_not_looked_through_again(thawed):
    memory.settle()
    assert gc.get_freeze_count() > 0


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch, thawed):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    memory.one_pool()
    memory.settle()
