"""`python -m stack.setup`: what containers need before anything starts, written once into the volumes they share.

From one `grace.yml`: Prometheus' and Alertmanager's configuration and rules, compiled from the catalog it names; and
secrets, random, each in a file of its own that is made once and then left alone.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

import demo.workload
import rules.alertmanager
import rules.build
import rules.output
import rules.prometheus
from catalog.fault import CatalogError
from catalog.load import load_catalog, load_config
from catalog.model import TimeScale
from remediator.auth.tokens import new_token
from stack.configure import governance
from stack.files import write_atomically, yaml_text

UNUSABLE = 2
FOLDER = click.Path(file_okay=False, path_type=Path)
READABLE_BY_GROUP = 0o440
"""Programs in other containers run as other users; the compose file gives them this group, for the one file."""
DRILL = TimeScale(drill=True)
REMEDIATOR = "http://remediator:9782"
"""Any of the remediators: the name is shared where there are several."""
PROMETHEUS = "http://prometheus:9090"
ALERTMANAGER = "http://alertmanager:9093"


@dataclass(frozen=True, slots=True)
class Places:
    """Folders, each a volume: `out` for configuration, `secrets` with a folder per reader, `data` the remediator's."""

    out: Path
    secrets: Path
    data: Path


@dataclass(frozen=True, slots=True)
class Addresses:
    """`host:port` of every part, as the containers see each other. There may be several of some."""

    exporters: tuple[str, ...] = ("exporter:9781",)
    remediators: tuple[str, ...] = ("remediator:9782",)
    alertmanagers: tuple[str, ...] = ("alertmanager:9093",)
    prometheus: str = "prometheus:9090"


@click.command()
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=True)
@click.option("--out", type=FOLDER, default=Path("/run/grace"), show_default=True)
@click.option("--secrets", "secrets_folder", type=FOLDER, default=Path("/secrets"), show_default=True)
@click.option("--data", type=FOLDER, default=Path("/var/lib/grace"), show_default=True)
@click.option("--demo/--no-demo", "with_demo", help="For the demo workload, in the drill profile.")
@click.option("--remediators", default="remediator:9782", show_default=True, help="HOST:PORT, several with commas.")
@click.option("--alertmanagers", default="alertmanager:9093", show_default=True, help="HOST:PORT, several with commas.")
@click.option("--people-url", default="", help="A webhook that tells people.")
def main(
    config: Path,
    out: Path,
    secrets_folder: Path,
    data: Path,
    with_demo: bool,
    remediators: str,
    alertmanagers: str,
    people_url: str,
) -> None:
    """Write the configuration that `grace.yml` means for Prometheus and Alertmanager, and secrets that are missing."""
    places = Places(out, secrets_folder, data)
    addresses = Addresses(remediators=_several(remediators), alertmanagers=_several(alertmanagers))
    try:
        if with_demo:
            config = write_demo(config, places)
        write_configuration(config, places, addresses, people_url or None)
        made = make_secrets(places)
    except (CatalogError, ValueError) as error:
        click.echo(str(error), err=True)
        sys.exit(UNUSABLE)
    except OSError as error:
        click.echo(f"{error.filename} cannot be written: {error.strerror}", err=True)
        sys.exit(UNUSABLE)
    click.echo(f"configuration in {out}; {len(made)} secrets made")


def _several(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def write_configuration(path: Path, places: Places, addresses: Addresses, people_url: str | None) -> None:
    """`prometheus.yml`, `alertmanager.yml` and `rules/` in `places.out`. Raises CatalogError, ValueError or OSError."""
    config = load_config(path)
    catalog, scale = load_catalog(config.catalog), config.time_scale
    receivers = rules.alertmanager.Receivers(
        remediator_url=REMEDIATOR,
        credentials_file=str(places.secrets / "alertmanager" / "token"),
        people_url=people_url,
    )
    rules.output.write(places.out / "rules", rules.build.build(catalog, scale, receivers))
    text = rules.prometheus.config(
        catalog,
        scale,
        exporter=addresses.exporters,
        remediator=addresses.remediators,
        alertmanager=addresses.alertmanagers,
        prometheus=addresses.prometheus,
    )
    write_atomically(places.out / "prometheus.yml", text)
    write_atomically(places.out / "alertmanager.yml", rules.alertmanager.config(catalog, scale, receivers))


def make_secrets(places: Places) -> Sequence[Path]:
    """The files that were made now: those that exist are never written again. Raises OSError."""
    tokens = places.data / "tokens"
    tokens.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = []
    for path, text, mode in (
        (places.secrets / "grafana" / "admin-password", secrets.token_urlsafe(18), READABLE_BY_GROUP),
        (places.secrets / "postgres" / "password", secrets.token_urlsafe(24), READABLE_BY_GROUP),
        (places.secrets / "alertmanager" / "token", new_token(), READABLE_BY_GROUP),
    ):
        if not path.exists():
            write_atomically(path, text, mode)
            made.append(path)
    password = (places.secrets / "postgres" / "password").read_text(encoding="utf-8")
    for path, text in (
        (places.secrets / "ledger" / "pgpass", f"*:*:*:*:{password}\n"),
        (tokens / "alertmanager", (places.secrets / "alertmanager" / "token").read_text(encoding="utf-8")),
    ):
        if not path.exists():
            write_atomically(path, text, 0o600)
            made.append(path)
    return made


def write_demo(base: Path, places: Places) -> Path:
    """The configuration for the demo workload, laid over `base`; its `grace.yml`. Raises CatalogError or OSError.

    It lies beside the workload's files, and once more where `grace drill` looks for what runs.
    """
    load_config(base)  # its faults are told with their place, before anything is taken out of it
    folder = places.data / "demo" / "config"
    written: dict[str, Any] = yaml.safe_load(base.read_text(encoding="utf-8")) or {}
    written.pop("catalog", None)
    collectors = demo.workload.exporter_collectors(places.data, REMEDIATOR)
    for collector in collectors["collectors"]:
        if collector["collector"] == "remediator":
            collector["token_file"] = str(places.secrets / "exporter" / "token")
    files = {
        "inventory.yml": demo.workload.inventory(places.data),
        "exporter.yml": collectors,
        "governance.yml": governance(DRILL),
        "grace.yml": {
            **written,
            **{part: str(folder / f"{part}.yml") for part in ("inventory", "exporter", "governance")},
            "alertmanager": {**written.get("alertmanager", {}), "reconcile_every": "5s"},
            "time_scale": DRILL.model_dump(),
        },
    }
    for name, value in files.items():
        write_atomically(folder / name, yaml_text(value))
    shutil.copyfile(folder / "grace.yml", places.data / "grace.yml")
    urls = {"prometheus": PROMETHEUS, "alertmanager": ALERTMANAGER, "remediator": REMEDIATOR}
    write_atomically(places.data / "up.json", json.dumps({"urls": urls}) + "\n")
    return folder / "grace.yml"


if __name__ == "__main__":
    main()
