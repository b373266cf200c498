"""The identity that Prometheus and Alertmanager give a set of labels."""

from __future__ import annotations

from collections.abc import Mapping

_OFFSET = 14695981039346656037
_PRIME = 1099511628211
_SEPARATOR = b"\xff"


def fingerprint(labels: Mapping[str, str]) -> str:
    """16 hexadecimal digits: FNV-1a (64 bit) over the labels sorted by name, as Alertmanager's webhook shows it.

    Names and values must be encodable as UTF-8 (no lone surrogates).
    """
    parts = sorted((name.encode(), value.encode()) for name, value in labels.items())
    digest = _OFFSET
    for byte in b"".join(part + _SEPARATOR for pair in parts for part in pair):
        digest = ((digest ^ byte) * _PRIME) & 0xFFFFFFFFFFFFFFFF
    return f"{digest:016x}"
