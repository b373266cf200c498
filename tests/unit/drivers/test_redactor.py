"""No secret is kept, wherever it stands in what others said, and however it is written there."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import string
import time
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remediator.drivers import redactor
from remediator.drivers.redactor import LOOKAHEAD, MASK, Redactor, brief

SECRET = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=6, max_size=60)
WORDS = st.text(st.sampled_from(string.ascii_lowercase + " \n:=/"), max_size=200)
WRITTEN = {
    "plain": str,
    "json": lambda secret: json.dumps(secret)[1:-1],
    "repr": lambda secret: repr(secret)[1:-1],
    "url": lambda secret: quote(secret, safe=""),
    "form": quote_plus,
    "lower": lambda secret: re.sub("%..", lambda code: code[0].lower(), quote(secret, safe="")),
    "html": html.escape,
    "shell": shlex.quote,
    "hex": lambda secret: secret.encode().hex(),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "user": lambda secret: base64.b64encode(f"grace:{secret}".encode()).decode(),
    "between": lambda secret: base64.b64encode(f"a{secret}b".encode()).decode(),
}
settings.register_profile("here", deadline=None, database=None, suppress_health_check=list(HealthCheck))
HERE = settings(settings.get_profile("here"), max_examples=200)


def bare(text: str | bytes) -> str:
    """Without what a terminal would not show."""
    found = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return re.sub(r"[\x00-\x20\x7f]", "", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", found))


def broken(data: st.DataObject, text: str) -> str:
    """The same letters over several lines, in colours: as two streams, a narrow window or a formatter leave them."""
    places = data.draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=4))
    for place in sorted(places, reverse=True):
        between = data.draw(st.sampled_from(["\n", "\r\n", " ", "\n    ", "\x1b[31m", "\x00"]))
        text = text[:place] + between + text[place:]
    return text


@HERE
@given(data=st.data())
def test_a_known_secret_never_stays(data: st.DataObject) -> None:
    secret, how = data.draw(SECRET), data.draw(st.sampled_from(sorted(WRITTEN)))
    written = WRITTEN[how](secret)
    said = data.draw(WORDS) + broken(data, written) + data.draw(WORDS)
    shown = Redactor([secret]).text(said)
    assert bare(secret) not in bare(shown)
    if how not in ("user", "between"):
        assert bare(written) not in bare(shown)
    assert MASK in shown


@settings(HERE, max_examples=60)
@given(data=st.data())
def test_a_secret_at_the_cut_leaves_no_part_of_itself(data: st.DataObject) -> None:
    secret = data.draw(SECRET)
    written = broken(data, secret)
    limit = data.draw(st.integers(1, 300))
    # From before the cut to the last byte that is looked at.
    place = data.draw(st.sampled_from([limit, limit + LOOKAHEAD])) - data.draw(st.integers(0, len(written)))
    said = (". " * (limit + LOOKAHEAD))[: max(place, 0)] + written + ". " * LOOKAHEAD
    kept = Redactor([secret]).kept(said.encode()[: limit + LOOKAHEAD], limit)
    body = kept.removesuffix(b"\n[cut here: there was more]\n")
    assert len(body) <= limit
    letters = set(bare(body)) - set(".") - set(MASK) - {"�"}
    assert not letters & set(secret), f"{body!r} ends with a part of {secret!r}"


@settings(HERE, max_examples=40)
@given(data=st.data())
def test_a_long_secret_that_is_cut_off_leaves_no_part_of_itself(data: st.DataObject) -> None:
    """So much is hidden before it that the very last bytes that were read are kept."""
    words = st.lists(st.text(string.ascii_letters, min_size=4, max_size=6), min_size=8, max_size=10).map(" ".join)
    secret = "\n".join(data.draw(st.lists(words, min_size=20, max_size=30)))
    limit = data.draw(st.integers(20_000, 20_000 + len(secret)))
    said = (secret + "\n. ") * (200_000 // len(secret))
    kept = Redactor([secret]).kept(said.encode()[: limit + LOOKAHEAD], limit).decode()
    left = set(bare(kept.replace("[cut here: there was more]", ""))) - set(".") - set(MASK)
    assert not left


@HERE
@given(
    st.sampled_from(
        [
            "https://grace:{}@host/x", "postgresql://u:{}@db:5432/x", "redis://:{}@h", "https://{}@git.example/x",
            "password={}", "DB_PASSWORD: {}", "db.password = {}", '{{"client_secret": "{}", "x": 1}}',
            "{{'api_key': '{}'}}", "Authorization: Bearer {}", "authorization: Basic {}", "X-Api-Key: {}",
            "run --token {} --fast", "run --admin-password={} --fast", "Cookie: session={}", "got bearer {}xyzxyzxy",
            "-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n{}",
            "&access_token={}&x=1",
        ]
    ),
    st.text(string.ascii_letters + string.digits + "._~-", min_size=10, max_size=40).map("X{}".format),
    WORDS,
)  # fmt: skip
def test_what_nobody_told_us_is_known_by_its_looks(place: str, secret: str, words: str) -> None:
    shown = Redactor().text(f"{words}\n{place.format(secret)}\n{words}")
    assert secret not in shown


@pytest.mark.parametrize(
    "said",
    [
        "the password is wrong", "may not read the token file /etc/grace/token", "https://registry:5000/npm/@scope/x",
        "ssh://git@host/x", "permission denied (publickey,password)", "tokens 3, secrets 4", "worker@1.service failed",
        "see https://example.org/docs#x", "http://127.0.0.1:9090/api answered 500",
    ],
)  # fmt: skip
def test_ordinary_words_stay(said: str) -> None:
    assert Redactor(["hunter2-hunter2"]).text(said) == said


def test_a_document_stays_one() -> None:
    document = {"url": "redis://:abcdefgh@h", "password": "abc\"d'e", "token": 5, "items": [{"secret": "x y"}, "fine"]}
    shown = json.loads(Redactor().text(json.dumps(document)).replace(f'"token": {MASK}', '"token": 0'))
    assert shown == {
        "url": f"redis://:{MASK}@h", "password": MASK, "token": 0, "items": [{"secret": MASK}, "fine"],
    }  # fmt: skip


def test_the_lines_of_a_key_are_secret_by_themselves() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\nq83vASdfghjklqwer\n-----END RSA PRIVATE KEY-----\n"
    assert Redactor([key]).text("line 3: q83vASdfghjklqwer is bad") == f"line 3: {MASK} is bad"


def test_what_is_too_short_to_be_a_secret_hides_nothing() -> None:
    assert Redactor(["", "a", "web"]).text("a web") == "a web"


def test_bytes_that_are_no_text_stay() -> None:
    assert Redactor(["hunter22"]).output(b"\xff\xfe hunter22 \x80") == b"\xff\xfe " + MASK.encode() + b" \x80"


@pytest.mark.parametrize(
    "piece",
    [b"://", b"a", b"password", b"password:", b"-----BEGIN PRIVATE KEY-----", b"-", b"bearer ", b'"password": "', b"-a",
     b"\x1b[", b"token=", b"cookie:", b"hunter2hunter", b"eyJaaaa."],
)  # fmt: skip
def test_hostile_output_costs_little(piece: bytes) -> None:
    said = piece * (300_000 // len(piece))
    begun = time.process_time()
    Redactor(["hunter2hunter2"]).kept(said, 200_000)
    assert time.process_time() - begun < 5


def test_brief_leaves_the_middle_out() -> None:
    assert brief("a  b\n c") == "a b c"
    line = brief("x" * 500 + "\ny" * 500)
    assert len(line) <= 400
    assert line.startswith("xxx")
    assert line.endswith("y y")


PARTS = (
    "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----", "https://", "http://user", "user:", "@",
    "redis://", "Authorization", "X-Api-Key", "x-auth-token", "Cookie", "Bearer ", "basic ", "PASSWORD", "passwd",
    "passphrase", "pwd", "Secret", "token", "credentials", "api_key", "access-key", "PrivateKey", "auth_key",
    "session-key", "=", "=>", ":", ": ", " ", '"', "'", "--", "-", "eyJabcd.efgh.ij", "grace_" + "a" * 43, "hunter22",
    "abcdefgh", "\n", "&", ",", "{",
)  # fmt: skip


@HERE
@given(parts=st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=12), how=st.sampled_from([str, str.upper]))
def test_no_pattern_finds_anything_without_the_words_it_is_looked_for_by(parts: list[str], how: Any) -> None:
    said = how("".join(parts)).encode("utf-8", "surrogatepass")
    all_of_them = [found.span("s") for _, pattern in redactor._LOOKS_SECRET for found in pattern.finditer(said)]
    assert [found.span("s") for found in redactor._looking_secret(said)] == all_of_them


@pytest.mark.parametrize("shown", ["{}=hunter22", "{}: hunter22", '"{}": "hunter22"', "--{} hunter22", "{}='hunter22'"])
@pytest.mark.parametrize(
    "name",
    ["password", "PASSWD", "Passphrase", "pwd", "secret", "token", "credentials", "api_key", "AccessKey", "authkey"],
)
def test_each_name_of_a_secret_is_looked_for(name: str, shown: str) -> None:
    assert "hunter22" not in Redactor().text(shown.format(name))


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "X-Auth-Token", "COOKIE"])
def test_each_header_that_is_a_secret_is_looked_for(header: str) -> None:
    assert "hunter22" not in Redactor().text(f"{header}: Digest hunter22")


@pytest.mark.parametrize("number", [1, 1000])
@settings(HERE, max_examples=60)
@given(data=st.data())
def test_of_a_thousand_secrets_each_is_hidden(number: int, data: st.DataObject) -> None:
    secrets = [f"one/of {each} them" for each in range(number)]
    known = Redactor(secrets)
    assert (len(known._forms) >= redactor._MANY) == (number > 1)
    secret, how = data.draw(st.sampled_from(secrets)), data.draw(st.sampled_from(sorted(WRITTEN)))
    said = data.draw(WORDS) + broken(data, WRITTEN[how](secret)) + data.draw(WORDS)
    assert known.text(said) == Redactor([secret]).text(said) != said
