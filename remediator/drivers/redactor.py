"""Text of others without the secrets in it: what is known, wherever and however it is written, and what looks like one.

Pure. Redact first and shorten afterwards: half a secret is not found any more.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "•••••"
SHORTEST = 4
"""Characters; what is shorter cannot be told from ordinary words."""
LOOKAHEAD = 64 * 1024
"""Bytes that must be read beyond a limit, so that a secret that crosses it is known as one."""

_LONGEST_LINE_PART = 8
_MANY = 500
"""Forms, of some twenty secrets: so many are looked for by their beginnings."""
_GAP = rb"(?:[\x00-\x20\x7f]|\x1b\[[0-9;]{0,20}[A-Za-z])*"
_COLOUR = re.compile(rb"\x1b\[[0-9;]{0,20}[A-Za-z]")
_BLANK = bytes(range(0x21)) + b"\x7f"
_CUT = b"\n[cut here: there was more]\n"

# Each marks what must not be seen as the group `s`. None of them looks far back or ahead: hostile text costs no more.
# One is looked for only where one of the words beside it stands: nothing that it finds is without them.
_NAME = rb"(?:pass(?:word|wd|phrase)|pwd|secret|token|credential|(?:api|access|private|auth|session)[_-]?key)s?"
_NAME += rb"[\w.-]{0,40}"
_HEADER = rb"(?:authorization|x-api-key|x-auth-token|cookie)"
_QUOTED = (rb"\"(?P<s>(?:\\.|[^\"\\])*)(?:\"|\Z)", rb"'(?P<s>(?:\\.|[^'\\])*)(?:'|\Z)")
_NAMES = (b"pass", b"pwd", b"secret", b"token", b"credential", b"key")
_HEADERS = (b"authorization", b"x-api-key", b"x-auth-token", b"cookie")
_LOOKS_SECRET = tuple(
    (frozenset(words), re.compile(pattern, re.IGNORECASE | re.DOTALL))
    for words, pattern in (
        (
            (b"-----begin",),
            rb"(?P<s>-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z))",
        ),
        ((b"://",), rb"://[^\s/?#@:]{0,200}:(?P<s>[^\s/?#]{1,1000})@"),
        ((b"://",), rb"https?://(?P<s>[^\s/?#@:]{1,1000})@"),
        *(
            ((*_HEADERS, *_NAMES), rb"(?:" + _HEADER + rb"|" + _NAME + rb")[\"']?\s{0,8}[:=]>?\s{0,8}" + quoted)
            for quoted in _QUOTED
        ),
        (_HEADERS, _HEADER + rb"[\"']?\s{0,8}[:=][ \t]{0,8}(?P<s>[^\s\"'][^\r\n]*)"),
        ((b"bearer", b"basic"), rb"\b(?:bearer|basic)\s{1,8}(?P<s>[a-z0-9._~+/=-]{8,})"),
        (_NAMES, _NAME + rb"\s{0,8}=>?\s{0,8}(?P<s>[^\s&\"'][^\s&]*)"),
        (_NAMES, _NAME + rb":[ \t]{0,8}(?P<s>[^\s\"'][^\r\n]*)"),
        (_NAMES, _NAME + rb"[\"']\s{0,8}:\s{0,8}(?P<s>[^\s\"'{\[,}][^\r\n,}]*)"),
        (_NAMES, rb"(?<![\w-])--?(?=[a-z])[\w-]{0,40}?" + _NAME + rb"[ \t]{1,8}(?P<s>[^\s-]\S*)"),
        ((b"eyj",), rb"(?P<s>\beyJ[a-z0-9_-]{4,}\.[a-z0-9_-]{4,}\.[a-z0-9_-]*)"),
        ((b"grace_",), rb"(?P<s>\bgrace_[a-z0-9_-]{43})"),
    )
)
_WORDS = tuple(sorted(frozenset().union(*(words for words, _ in _LOOKS_SECRET))))
# The word that a text was cut in: an address whose @ would have come, a token without its end.
_TORN_WORD = re.compile(rb"\S{0,1300}\Z")


class Redactor:
    """Knows secrets, and hides them in whatever it is given: also broken over lines, coloured, quoted or encoded."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The set that was given, where it is one: its hash, and all that is known of it, are kept.
        self._secrets = frozenset(secrets)
        self._forms = _all_forms(self._secrets)

    def together(self, other: Redactor) -> Redactor:
        """Knows what both know."""
        return Redactor(self._secrets | other._secrets)

    def text(self, said: str) -> str:
        """The same text with `MASK` for each secret."""
        raw = said.encode("utf-8", "surrogatepass")
        shown = self.output(raw)
        return said if shown == raw else shown.decode("utf-8", "replace")

    def output(self, said: bytes) -> bytes:
        """The same for bytes of any encoding."""
        shown, end = [], 0
        for start, stop in _merged(self._spans(said)):
            shown += [said[end:start], MASK.encode()]
            end = stop
        return b"".join([*shown, said[end:]])

    def kept(self, said: bytes, limit: int) -> bytes:
        """At most `limit` bytes of it, and a line that says so where there was more.

        Give it `limit + LOOKAHEAD` bytes where there are as many: then no part of a secret stands at the cut.
        """
        whole = len(said) <= limit
        shown = self.output(said if len(said) < limit + LOOKAHEAD else self._without_torn_end(said))
        return shown if whole else shown[:limit] + _CUT

    def _without_torn_end(self, said: bytes) -> bytes:
        """Without what may be the beginning of a secret that goes on after the last byte."""
        word = _TORN_WORD.search(said[-1300:])
        said = said[: len(said) - len(word[0])] if word else said
        squeezed, places = _squeezed(said[-LOOKAHEAD:])
        torn = max((_overlap(squeezed, form) for form in self._forms), default=0)
        return said[: len(said) - len(said[-LOOKAHEAD:]) + places[-torn]] if torn else said

    def _spans(self, said: bytes) -> Iterator[tuple[int, int]]:
        plain = _COLOUR.sub(b"", said).translate(None, _BLANK)
        for form in self._probable(plain):
            if form in plain:
                letters = _GAP.join(re.escape(bytes((byte,))) for byte in form)
                yield from (found.span() for found in re.finditer(letters, said))
        yield from (found.span("s") for found in _looking_secret(said))

    def _probable(self, plain: bytes) -> Iterable[bytes]:
        """The forms that may stand in a text: of many, those whose beginning stands there."""
        if len(self._forms) < _MANY:
            return self._forms
        known = _by_beginning(self._secrets)
        here = {part for at in range(len(plain) - SHORTEST + 1) if (part := plain[at : at + SHORTEST]) in known}
        return [form for part in here for form in known[part]]


def _looking_secret(said: bytes) -> Iterator[re.Match[bytes]]:
    """What looks like a secret, its group `s`."""
    small = said.lower()
    here = {word for word in _WORDS if word in small}
    for words, pattern in _LOOKS_SECRET:
        if not here.isdisjoint(words):
            yield from pattern.finditer(said)


@lru_cache(maxsize=16)
def _all_forms(secrets: frozenset[str]) -> tuple[bytes, ...]:
    """Of all secrets, the longest first."""
    return tuple(sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True))


@lru_cache(maxsize=16)
def _by_beginning(secrets: frozenset[str]) -> Mapping[bytes, tuple[bytes, ...]]:
    """All forms by their first bytes; none is shorter."""
    found: dict[bytes, list[bytes]] = {}
    for form in _all_forms(secrets):
        found.setdefault(form[:SHORTEST], []).append(form)
    return {beginning: tuple(forms) for beginning, forms in found.items()}


def brief(said: str, longest: int = 400) -> str:
    """On one line, its middle left out where it is longer. Redact it first."""
    line = " ".join(said.split())
    tail = longest // 3
    return line if len(line) <= longest else f"{line[: longest - tail - 3]} … {line[-tail:]}"


def named(text: str) -> Iterator[str]:
    """What looks like a secret in a text that is not for showing: an address, a list of hosts, a set of variables."""
    for found in _looking_secret(text.encode("utf-8", "surrogatepass")):
        yield found["s"].decode("utf-8", "replace").strip().strip("\"'")


def _forms(secret: str) -> Iterator[bytes]:
    """The ways in which a secret may stand in a text, without any blanks; lines of a long one by themselves too."""
    lines = [line.strip() for line in secret.splitlines()]
    parts = [line for line in lines if len(line) >= _LONGEST_LINE_PART and not line.startswith("-----")]
    for part in {secret.strip(), *(parts if len(lines) > 1 else ())}:
        if len(part) < SHORTEST:
            continue
        raw = part.encode("utf-8", "surrogatepass")
        written = {
            part, quote(part, safe="", errors="replace"), quote_plus(part, errors="replace"),
            quote(part, errors="replace"), json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1],
            repr(part)[1:-1], repr(raw)[2:-1], html.escape(part), shlex.quote(part).strip("'"), raw.hex(),
            raw.hex().upper(), *_based(raw),
        }  # fmt: skip
        written |= {re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), form) for form in written}
        for form in written:
            squeezed = form.encode("utf-8", "surrogatepass").translate(None, _BLANK)
            if len(squeezed) >= SHORTEST:
                yield squeezed


def _based(raw: bytes) -> Iterator[str]:
    """Its base64, wherever in a longer text it begins: only the letters that no neighbour has a share in."""
    for before in range(3):
        coded = base64.b64encode(bytes(before) + raw).decode()
        inner = coded[(0, 2, 3)[before] :].rstrip("=")
        sure = inner if (before + len(raw)) % 3 == 0 else inner[:-1]
        if len(sure) > SHORTEST:
            yield sure
            yield sure.translate(str.maketrans("+/", "-_"))


def _squeezed(said: bytes) -> tuple[bytes, list[int]]:
    """Without blanks and colours, and where each byte that is left stood."""
    hidden = {place for found in _COLOUR.finditer(said) for place in range(*found.span())}
    places = [place for place, byte in enumerate(said) if byte not in _BLANK and place not in hidden]
    return bytes(said[place] for place in places), places


def _overlap(said: bytes, form: bytes) -> int:
    """How many of the form's first bytes the text ends with."""
    return next((size for size in range(min(len(form) - 1, len(said)), 0, -1) if said.endswith(form[:size])), 0)


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    last: tuple[int, int] | None = None
    for start, stop in sorted(spans):
        if last is not None and start <= last[1]:
            last = (last[0], max(last[1], stop))
            continue
        if last is not None:
            yield last
        last = (start, stop)
    if last is not None:
        yield last
