"""How the command line reaches the remediator, and what it says when it cannot.

Exit codes: 0 done; 1 the remediator was asked and the thing is not right (settled already, at a limit); 2 it cannot be
asked or will not answer this (not running, wrong token, unknown id, wrong input).
"""

from __future__ import annotations

import functools
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import click

from catalog.config import GraceConfig
from catalog.fault import CatalogError
from catalog.load import config_path, load_config
from remediator.auth.tokens import is_name
from remediator.cli.output import printable

NOT_RIGHT = 1
UNUSABLE = 2
TIMEOUT = 30.0
"""Seconds that one request may take."""
_PAGE = 200

Command = TypeVar("Command", bound=Callable[..., Any])


class Failure(click.ClickException):
    """It cannot be asked, or will not be done as asked: one clear line."""

    exit_code = UNUSABLE

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class NotRight(Failure):
    """It was asked, and the thing asked about is not right: one clear line."""

    exit_code = NOT_RIGHT


@dataclass(frozen=True, slots=True)
class Place:
    """Where this command line finds its remediator: what `grace.yml` says, and what options say over it."""

    config: GraceConfig
    url: str

    def token(self, name: str) -> Path:
        """The file in which the token of this name lies, where it was kept on this machine."""
        return self.config.data_dir / "tokens" / name


def find_place(config: Path | None, data: Path | None, url: str | None) -> Place:
    """What `config` says, else `grace.yml` in `data`, $GRACE_CONFIG, `./grace.yml`, `.grace/grace.yml`, the defaults.

    Raises Failure for a configuration that cannot be read.
    """
    chosen = config
    if chosen is None and data is not None and (data / "grace.yml").exists():
        chosen = data / "grace.yml"
    chosen = chosen or config_path()
    try:
        loaded = load_config(chosen)
        if chosen is None and data is None and (loaded.data_dir / "grace.yml").exists():
            loaded = load_config(loaded.data_dir / "grace.yml")  # written by `grace up`
    except CatalogError as error:
        raise Failure(str(error.faults[0])) from error
    except OSError as error:
        raise Failure(f"{chosen} cannot be read: {error.strerror}") from error
    if data is not None:
        loaded = loaded.model_copy(update={"data_dir": data.absolute()})
    found = (url or loaded.remediator_url).rstrip("/")
    if not _is_http(found):
        raise Failure(f"{found!r} is not the URL of a remediator; write http://HOST:PORT")
    return Place(loaded, found)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def read_token(path: Path) -> str:
    """The token in a file. Raises Failure, which says how to get one."""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            f"no token at {path}: the remediator writes it when it first starts; "
            "name the data folder with --data, or a token with --token-file"
        ) from error
    if not token or not token.isascii() or not token.isprintable():
        raise Failure(f"{path} does not hold a token")
    return token


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """A redirect would carry the token elsewhere."""


# No proxies: the remediator is this machine's, or one that was named on purpose.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


@dataclass(frozen=True, slots=True)
class Remediator:
    """The remediator's API, in the name of one token."""

    url: str
    token: str

    def ask(
        self,
        method: str,
        path: str,
        document: object = None,
        *,
        body: bytes | None = None,
        params: Mapping[str, object] | None = None,
    ) -> Any:
        """What it answers below `/api/v1/`, as JSON; None for an empty answer. Raises Failure."""
        query = urlencode({name: value for name, value in (params or {}).items() if value is not None})
        content = json.dumps(document).encode() if body is None and document is not None else body
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked by find_place
            f"{self.url}/api/v1/{path}" + (f"?{query}" if query else ""),
            data=content,
            method=method,
            headers={
                "Authorization": f"Bearer {self.token}",
                "Accept": "application/json",
                **({"Content-Type": "application/json"} if content is not None else {}),
            },
        )
        try:
            with _OPENER.open(request, timeout=TIMEOUT) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            with error:
                self._refused(error.code, error.read(64 * 1024))
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise Failure(
                f"the remediator does not answer at {self.url} ({_words(reason)}): start it with `grace up` or "
                "`grace remediator`, or say with --url where it is"
            ) from error
        try:
            return json.loads(answer) if answer.strip() else None
        except ValueError as error:
            raise Failure(f"what answers at {self.url} is not a remediator") from error

    def items(self, path: str, *, limit: int = 10_000, **params: object) -> Iterator[dict[str, Any]]:
        """The items of a list, page by page, at most `limit`."""
        cursor, left = None, limit
        while left > 0:
            page = self.ask("GET", path, params={**params, "limit": min(left, _PAGE), "cursor": cursor})
            yield from page["items"][:left]
            left -= len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None or not page["items"]:
                return

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """The one thing of this kind (`incidents`, `runs`, `approvals`) of this id, or whose id alone begins so."""
        answer: dict[str, Any] = self.ask("GET", f"{kind}/{quote(name, safe='')}")
        return answer

    def act(self, kind: str, name: str, action: str, reason: str) -> dict[str, Any]:
        """Ask for something to be done with that one thing; what it then is."""
        answer: dict[str, Any] = self.ask("POST", f"{kind}/{quote(name, safe='')}/{action}", {"reason": reason})
        return answer

    def _refused(self, status: int, body: bytes) -> NoReturn:
        try:
            document = json.loads(body)
            said = str(document.get("detail") or document.get("title") or "")
        except (ValueError, AttributeError):
            said = ""
        said = said or f"the remediator at {self.url} answered {status}"
        raise (NotRight if status in (409, 410, 412) else Failure)(said)


def _words(reason: object) -> str:
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


class DefaultGroup(click.Group):
    """A group that, called bare or with options only, runs its `default` command."""

    def __init__(self, *args: Any, default: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="grace.yml; else $GRACE_CONFIG, else ./grace.yml."
)
data_option = click.option(
    "--data", type=click.Path(path_type=Path), help="Data folder; else data_dir of the configuration."
)


def place_options(command: Command) -> Command:
    """Give a command `config`, `data`, `url`, as `find_place` takes them."""
    for option in (
        click.option("--url", help="Where the remediator is; else remediator_url of the configuration."),
        click.option(
            "--data", type=click.Path(path_type=Path), help="Data folder; else data_dir of the configuration."
        ),
        click.option(
            "--config", type=click.Path(path_type=Path), help="grace.yml; else $GRACE_CONFIG, else ./grace.yml."
        ),
    ):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def with_remediator(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `remediator` (a Remediator) and `as_json`, and the options that lead there."""

    @place_options
    @click.option("--token-file", type=click.Path(path_type=Path), help="File with the token to use.")
    @click.option("--as", "as_name", help="Use the token kept as tokens/NAME in the data folder; else admin's.")
    @json_option
    @functools.wraps(command)
    def run(
        *,
        config: Path | None,
        data: Path | None,
        url: str | None,
        token_file: Path | None,
        as_name: str | None,
        **arguments: Any,
    ) -> None:
        if token_file is not None and as_name is not None:
            raise click.UsageError("--as and --token-file both say whose token to use; give one")
        if as_name is not None and not is_name(as_name):
            raise click.UsageError("--as takes the name of a token")
        place = find_place(config, data, url)
        token = read_token(token_file or place.token(as_name or "admin"))
        try:
            command(remediator=Remediator(place.url, token), **arguments)
        except KeyError as missing:
            raise Failure(
                f"the answer of {place.url} has no {missing}: is it a remediator of this version?"
            ) from missing

    return run
