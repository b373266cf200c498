"""What Grace was given as a secret, wherever the inventory and the configuration name it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog.config import GraceConfig
from catalog.inventory import Inventory, Target
from remediator.drivers import keyring
from remediator.drivers.keyring import secrets_of


def of(folder: Path, config: dict[str, Any] | None = None, **grace: Any) -> frozenset[str]:
    target = Target(name="thing", driver="sql", config=config or {})
    return secrets_of(GraceConfig(data_dir=folder, **grace), Inventory(targets={"thing": target}))


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize("key", ["password_file", "token_file", "ANSIBLE_VAULT_PASSWORD_FILE", "private_key_file"])
def test_a_file_named_by_the_inventory(tmp_path: Path, key: str) -> None:
    place = written(tmp_path, "s", "hunter2-hunter2\n")
    assert of(tmp_path, {"env": {key: place}}) == {"hunter2-hunter2"}


def test_what_stands_in_the_inventory_itself(tmp_path: Path) -> None:
    config = {
        "url": "postgresql://grace:p%40ssword@db/x",
        "env": {"DB_PASSWORD": "from-the-env", "MODE": "not-secret"},
        "argv": ["/usr/bin/job", "--token=from-the-words"],
    }
    assert of(tmp_path, config) == {"p%40ssword", "p@ssword", "from-the-env", "from-the-words"}


def test_a_kubeconfig_is_not_secret_as_a_whole(tmp_path: Path) -> None:
    body = {
        "clusters": [{"name": "here"}],
        "users": [{"name": "g", "user": {"token": "abcdefgh", "client-key-data": "a2V5a2V5"}}],
    }
    place = written(tmp_path, "kubeconfig", yaml.safe_dump(body))
    found = of(tmp_path, {"kubeconfig": place})
    assert {"abcdefgh", "a2V5a2V5"} <= found
    assert not any("clusters" in secret for secret in found)


def test_a_list_of_hosts_names_its_passwords(tmp_path: Path) -> None:
    place = written(tmp_path, "hosts", "web1 ansible_host=10.0.0.1 ansible_password=hunter22\n")
    assert of(tmp_path, {"hosts": place}) == {"hunter22"}


def test_what_is_grace_s_own(tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    written(tmp_path, "tokens/admin", "grace_" + "a" * 43)
    written(tmp_path, "audit.key", "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----")
    urls = written(tmp_path, "urls", "slack://TokenA/TokenB\n")
    found = of(
        tmp_path,
        ledger={"url": "postgresql://u:ledgerpass@h/x"},
        prometheus={"password_file": written(tmp_path, "p", "prompass")},
        notify=[{"name": "chat", "url_file": urls}],
    )
    assert {"grace_" + "a" * 43, "ledgerpass", "prompass", "slack://TokenA/TokenB"} <= found
    assert any("BEGIN PRIVATE KEY" in secret for secret in found)


def test_what_signs_the_sessions_of_the_page_is_known_where_it_lies_by_itself(tmp_path: Path) -> None:
    written(tmp_path, "session.key", "made-on-the-first-start")
    assert of(tmp_path) == {"made-on-the-first-start"}


def test_a_secret_that_was_replaced_is_known(tmp_path: Path) -> None:
    place = Path(written(tmp_path, "s", "before-before"))
    assert of(tmp_path, {"password_file": place}) == {"before-before"}
    place.write_text("afterwards")
    assert of(tmp_path, {"password_file": place}) == {"afterwards"}


def test_one_that_was_replaced_by_one_of_the_same_size_and_time_is_known(tmp_path: Path) -> None:
    place = Path(written(tmp_path, "s", "before-before"))
    config = GraceConfig(data_dir=tmp_path)
    target = Target(name="thing", driver="sql", config={"password_file": str(place)})
    inventory = Inventory(targets={"thing": target})
    assert secrets_of(config, inventory) == {"before-before"}
    seen = place.stat()
    until_the_clock_of_files_goes_on(tmp_path)
    place.write_text("afterwards-13")
    os.utime(place, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert (place.stat().st_size, place.stat().st_mtime_ns) == (seen.st_size, seen.st_mtime_ns)
    assert secrets_of(config, inventory) == {"afterwards-13"}


def until_the_clock_of_files_goes_on(folder: Path) -> None:
    first = Path(written(folder, "now", "")).stat().st_ctime_ns
    while Path(written(folder, "now", "x")).stat().st_ctime_ns == first:
        pass


def test_of_a_thousand_files_only_the_one_that_changed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [written(tmp_path, f"s{number}", f"password-{number}") for number in range(1000)]
    targets = {
        f"t{at}": Target(name=f"t{at}", driver="sql", config={"password_file": p}) for at, p in enumerate(places)
    }
    config, inventory = GraceConfig(data_dir=tmp_path), Inventory(targets=targets)
    known = secrets_of(config, inventory)
    assert known == {f"password-{number}" for number in range(1000)}
    read: list[str] = []
    content = keyring._content
    monkeypatch.setattr(keyring, "_content", lambda path: (read.append(path), content(path))[1])
    assert secrets_of(config, inventory) is known
    Path(places[5]).write_text("another one")
    (tmp_path / "s6").unlink()
    assert secrets_of(config, inventory) == known - {"password-5", "password-6"} | {"another one"}
    assert read == [places[5]]


def test_a_token_that_was_added_is_known(tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    config, inventory = GraceConfig(data_dir=tmp_path), Inventory()
    assert secrets_of(config, inventory) == frozenset()
    until_the_clock_of_files_goes_on(tmp_path)
    written(tmp_path, "tokens/later", "made-later")
    assert secrets_of(config, inventory) == {"made-later"}


def test_what_cannot_be_read_is_no_secret_and_no_fault(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in ("absent", "pipe", "."):
        assert of(tmp_path, {"password_file": str(tmp_path / place)}) == frozenset()
