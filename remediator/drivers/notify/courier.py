"""Reaches people where they are (chats, mail, pagers) through Apprise.

The addresses are secrets: they are read from a file at each use, and neither they nor what Apprise says about them is
shown. What is sent may hold a stranger's words: it goes as plain text in which nothing is a link, a mention or markup.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from remediator.errors import GraceError, Permanent, Refused, Transient

TITLE = "Grace"
_LONGEST = 2000
_CODE = re.compile(r"\berror\D{0,3}(\d{3})\b")
_PASSING_CODES = (408, 425, 429)
_INVISIBLE = "\u200b"
# One at a time: what Apprise says of a failure it says to its log alone, which is one for all.
_ONE_AT_A_TIME = threading.Lock()


class Courier:
    """The addresses of one file, one a line; empty lines and those that begin with # are none. Blocking."""

    def __init__(self, name: str, url_file: Path) -> None:
        self._name = name
        self._file = url_file

    def __len__(self) -> int:
        return len(self._addresses())

    def send(self, number: int, message: str) -> None:
        """Tell the people at one of the addresses. Raises Refused, Transient or Permanent, without the address."""
        if find_spec("apprise") is None:
            raise Permanent(f"channel {self._name} needs Apprise: install grace[apprise]")
        place = f"address {number + 1} of channel {self._name}"
        with _ONE_AT_A_TIME, _overheard() as said:
            service = _service(self._addresses()[number])
            if service is None:
                raise Permanent(f"{place} is none that Apprise knows: correct that line of {self._file}")
            if service.notify(body=harmless(message), title=TITLE, body_format="text"):
                return
        raise _failure(place, said)

    def _addresses(self) -> list[str]:
        try:
            text = self._file.read_text(encoding="utf-8")
        except PermissionError as error:
            raise Refused(f"may not read {self._file} of channel {self._name}", reason="permission") from error
        except (OSError, UnicodeDecodeError) as error:
            raise Permanent(f"{self._file} of channel {self._name} cannot be read") from error
        lines = [line.strip() for line in text.splitlines()]
        found = [line for line in lines if line and not line.startswith("#")]
        if not found:
            raise Permanent(f"{self._file} of channel {self._name} names no address")
        return found


def harmless(message: str) -> str:
    """The same words as no chat makes a link, a mention or markup of, at most 2000 characters."""
    text = message.replace("<", "‹").replace(">", "›").replace("[", "(").replace("]", ")")
    for sign, split in (("@", 1), ("://", 1), ("www.", 3)):
        text = text.replace(sign, sign[:split] + _INVISIBLE + sign[split:])
    text = text.replace("`", "'")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _service(address: str) -> Any:
    """What Apprise makes of one address; None where it makes nothing of it."""
    import apprise

    asset = apprise.AppriseAsset(
        app_id=TITLE, app_desc=TITLE, app_url="", image_url_mask="", image_url_logo="", async_mode=False,
        storage_mode="memory",
    )  # fmt: skip
    service = apprise.Apprise(asset=asset)
    return service if service.add(address) and len(service) else None


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What Apprise logs meanwhile; none of it reaches another log, for it may name addresses."""
    said: list[str] = []
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    listener = _Listener(said)
    logger.addHandler(listener)
    try:
        yield said
    finally:
        logger.removeHandler(listener)


class _Listener(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())


def _failure(place: str, said: list[str]) -> GraceError:
    """From the status alone: the rest of what was said may hold the address."""
    code = next((int(found[1]) for line in said if (found := _CODE.search(line))), None)
    if code is None:
        return Transient(f"{place} cannot be reached")
    if code in (401, 403):
        return Refused(f"{place} does not accept these credentials ({code})", reason="permission")
    if 400 <= code < 500 and code not in _PASSING_CODES:
        return Permanent(f"{place} refused the message ({code})")
    return Transient(f"{place} cannot take the message now ({code})")
