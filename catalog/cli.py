"""`grace catalog`: check, explain and compare what the catalog says, and write its schemas and its reference."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn, TypeVar

import click

from catalog.config import GraceConfig
from catalog.diff import changes, words
from catalog.document import read_document
from catalog.explain import metric_text, overview_text, playbook_text
from catalog.fault import CatalogError, Fault, did_you_mean
from catalog.foreign import Wishes, imported
from catalog.load import config_path, load_catalog, load_config, load_inventory, load_policy
from catalog.model import Catalog, Category
from catalog.policy import Policy
from catalog.reference import reference
from catalog.schema import COMMITTED, MODELS, file_of, text_of

UNUSABLE = 2
NOT_RIGHT = 1

Loaded = TypeVar("Loaded")
file_type = click.Path(path_type=Path)
config_option = click.option("--config", "config", type=file_type, help="Else $GRACE_CONFIG, else ./grace.yml.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def catalog() -> None:
    """What is measured, what is good or bad about it, and what may be done about it."""


@catalog.command()
@click.argument("files", nargs=-1, type=file_type)
@config_option
@json_option
def check(files: tuple[Path, ...], config: Path | None, as_json: bool) -> None:
    """Check catalog FILES laid over the shipped catalog; without FILES, everything that grace.yml names.

    Every fault is printed with its file, line and column. Exits 0 when there is none, else 2.
    """
    faults, found = _gathered(files, config)
    if as_json:
        click.echo(json.dumps({"ok": not faults, "faults": [asdict(fault) for fault in faults]}, indent=2))
    elif not faults and found is not None:
        click.echo(
            f"ok: {len(found.metrics)} metrics ({len(found.enabled)} on), {len(found.playbooks)} playbooks, "
            f"{len(found.bindings)} bindings; digest {found.digest[:12]}"
        )
    if faults:
        if not as_json:
            _refuse(faults)
        raise SystemExit(UNUSABLE)


@catalog.command()
@click.argument("name", required=False, metavar="[METRIC|PLAYBOOK]")
@click.option("--catalog", "files", type=file_type, multiple=True, help="Laid over the shipped one; may be repeated.")
@config_option
@json_option
def show(name: str | None, files: tuple[Path, ...], config: Path | None, as_json: bool) -> None:
    """List all metrics and playbooks, or explain one: where it comes from and who may do what about it."""
    found, policy = _catalog_and_policy(files, config)
    if name is None:
        click.echo(json.dumps(found.model_dump(mode="json"), indent=2) if as_json else overview_text(found, policy))
    elif name in found.metrics:
        metric = found.metrics[name]
        click.echo(_json({"alertname": metric.alertname}, metric) if as_json else metric_text(metric, found, policy))
    elif name in found.playbooks:
        playbook = found.playbooks[name]
        click.echo(_json({}, playbook) if as_json else playbook_text(playbook, found, policy))
    else:
        known = [*found.metrics, *found.playbooks]
        hint = did_you_mean(name, known) or "; `grace catalog show` lists them"
        _fail(f'there is no metric or playbook "{name[:60]}"{hint}')


@catalog.command()
@click.argument("name", required=False, type=click.Choice(list(MODELS)))
@click.option("--write", is_flag=True, help="Write the committed schemas anew.")
@click.option("--check", "check_only", is_flag=True, help="Exit 1 when a committed schema is stale.")
def schema(name: str | None, write: bool, check_only: bool) -> None:
    """Print the JSON Schema (draft 2020-12) of one kind of file."""
    if write or check_only:
        _put({file_of(name): text_of(name) for name in COMMITTED}, write=write)
    elif name is None:
        _fail(f"name one of {', '.join(MODELS)}")
    else:
        click.echo(text_of(name), nl=False)


@catalog.command()
@click.argument("old", type=file_type)
@click.argument("new", type=file_type)
@json_option
def diff(old: Path, new: Path, as_json: bool) -> None:
    """Say in words what changes between two catalogs: files, or folders of files, each laid over the shipped one."""
    try:
        found = changes(load_catalog(_files(old)), load_catalog(_files(new)))
    except CatalogError as error:
        _refuse(error.faults)
    click.echo(json.dumps({"changes": found}, indent=2) if as_json else words(found))


@catalog.command("import")
@click.argument("rules", type=file_type)
@click.option("--out", type=file_type, default=Path("imported"), show_default=True, help="Folder to write to.")
@click.option("--target", default="governance", show_default=True, help="Target that bindings are about.")
@click.option("--playbook", "playbooks", multiple=True, default=("run-postmortem",), show_default=True)
@click.option("--resource-label", default="instance", show_default=True, help="Label that names the resource.")
@click.option("--category", type=click.Choice([each.value for each in Category]), default="infra", show_default=True)
@click.option("--force", is_flag=True, help="Replace what stands in the folder.")
def import_(
    rules: Path,
    out: Path,
    target: str,
    playbooks: tuple[str, ...],
    resource_label: str,
    category: str,
    force: bool,
) -> None:
    """Turn the alerts of a Prometheus rule file into catalog entries and bindings, and list what is left."""
    files = {"catalog": out / "catalog.yaml", "recording": out / "recording.yml"}
    if not force and any(path.exists() for path in files.values()):
        _fail(f"{out} has been imported to already; name another folder with --out, or say --force")
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", resource_label):
        _fail(f'"{resource_label[:60]}" is not the name of a label')
    try:
        found = imported(read_document(rules), Wishes(target, playbooks, resource_label, category))
        texts = {"catalog": found.catalog_text(rules.name, str(file_of("catalog")))}
        if found.records:
            texts["recording"] = found.rules_text(rules.name)
        with TemporaryDirectory() as folder:
            draft = Path(folder) / "catalog.yaml"
            write_text(draft, texts["catalog"])
            load_catalog([draft])
    except CatalogError as error:
        _refuse(error.faults)
    _put({files[name]: text for name, text in texts.items()}, write=True)
    click.echo(f"{len(found.metrics)} metrics, {len(found.bindings)} bindings, {len(found.left)} left:")
    for line in found.left:
        click.echo(f"  {line}")


def _files(path: Path) -> list[Path]:
    return sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]


@catalog.command("reference")
@click.option("--out", type=file_type, default=Path("docs/reference"), show_default=True, help="Folder to write to.")
@click.option("--check", "check_only", is_flag=True, help="Write nothing; exit 1 when a file is stale.")
@click.option("--catalog", "files", type=file_type, multiple=True, help="Laid over the shipped one; may be repeated.")
def reference_(out: Path, check_only: bool, files: tuple[Path, ...]) -> None:
    """Write the reference of metrics and playbooks in Markdown."""
    try:
        texts = reference(load_catalog(files), Policy())
    except CatalogError as error:
        _refuse(error.faults)
    _put({out / name: text for name, text in texts.items()}, write=not check_only)


def _put(texts: Mapping[Path, str], *, write: bool) -> None:
    """Write what is stale, or say what is, and exit 1."""
    stale = [path for path, text in texts.items() if not _same(path, text)]
    for path in stale:
        if write:
            try:
                write_text(path, texts[path])
            except OSError as error:
                _fail(f"{path} cannot be written: {error.strerror}")
        click.echo(f"{'written' if write else 'stale'}: {path}", err=not write)
    if stale and not write:
        raise SystemExit(NOT_RIGHT)


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def write_text(path: Path, text: str) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _json(first: dict[str, Any], model: Any) -> str:
    return json.dumps({**first, **model.model_dump(mode="json")}, indent=2)


def _gathered(files: Sequence[Path], config: Path | None) -> tuple[list[Fault], Catalog | None]:
    """Every fault of everything there is to check, and the catalog where it can be had."""
    faults: list[Fault] = []

    def attempt(load: Callable[[], Loaded]) -> Loaded | None:
        try:
            return load()
        except CatalogError as error:
            faults.extend(error.faults)
            return None

    if files:
        return faults, attempt(lambda: load_catalog(files))
    settings = attempt(lambda: load_config(config_path(config))) or GraceConfig()
    found = attempt(lambda: load_catalog(settings.catalog))
    inventory = attempt(lambda: load_inventory(settings.inventory))
    attempt(lambda: load_policy(settings.governance))
    if found is not None and inventory is not None and settings.inventory is not None:
        for binding in found.bindings:
            if binding.target not in inventory.targets:
                hint = did_you_mean(binding.target, list(inventory.targets))
                said = f'a binding ({", ".join(binding.matchers)}) names the unknown target "{binding.target}"{hint}'
                faults.append(Fault(str(settings.inventory), 0, 0, "", said))
    return faults, found


def _catalog_and_policy(files: Sequence[Path], config: Path | None) -> tuple[Catalog, Policy]:
    try:
        settings = load_config(config_path(config))
        return load_catalog([*settings.catalog, *files]), load_policy(settings.governance)
    except CatalogError as error:
        _refuse(error.faults)


def _refuse(faults: Sequence[Fault]) -> NoReturn:
    for fault in faults:
        click.echo(fault, err=True)
    click.echo(f"{len(faults)} fault{'s' if len(faults) != 1 else ''}", err=True)
    raise SystemExit(UNUSABLE)


def _fail(message: str) -> NoReturn:
    click.echo(f"grace catalog: {message}", err=True)
    raise SystemExit(UNUSABLE)
