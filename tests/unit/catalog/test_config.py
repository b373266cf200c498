"""grace.yml, inventory.yml and governance.yml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.load import CatalogError, config_path, load_config, load_inventory, load_policy
from catalog.model import Relation, Tier

Write = Callable[..., Path]


def refused(load: Callable[[], object]) -> list[str]:
    with pytest.raises(CatalogError) as raised:
        load()
    return [str(fault) for fault in raised.value.faults]


def test_no_file_and_an_empty_file_are_the_defaults(write: Write, tmp_path: Path) -> None:
    assert load_config(None) == load_config(write("", "grace.yml"))
    assert load_config(None).data_dir == tmp_path / ".grace"


def test_paths_are_relative_to_the_files_folder(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    path = folder / "grace.yml"
    path.write_text(
        "data_dir: ../data\ncatalog: [a.yaml, /abs/b.yaml]\naudit: {key_file: k}\nnotify: [{name: n, file: f}]\n"
    )
    config = load_config(path)
    assert config.data_dir == folder / "../data"
    assert config.catalog == (folder / "a.yaml", Path("/abs/b.yaml"))
    assert config.audit.key_file == folder / "k"
    assert config.notify[0].file == folder / "f"


def test_placeholders_come_from_the_environment(write: Write) -> None:
    path = write(
        "ledger: {url: 'postgresql://u:${PW}@h/db'}\nmax_body_bytes: ${LIMIT}\n"
        "prometheus: {url: '${PROM:-http://p:9090}'}\nalertmanager: {url: 'http://a/$$x'}\n"
    )
    config = load_config(path, environment={"PW": "s3cret", "LIMIT": "4096"})
    assert config.ledger.url == "postgresql://u:s3cret@h/db"
    assert config.max_body_bytes == 4096
    assert config.prometheus.url == "http://p:9090"
    assert config.alertmanager.url == "http://a/$x"


def test_every_variable_that_is_not_set_is_named(write: Write) -> None:
    path = write("ledger:\n  url: ${NOT_SET}\nprometheus:\n  url: ${ALSO_NOT}/${UNCLOSED\n", "grace.yml")
    assert refused(lambda: load_config(path, environment={})) == [
        "grace.yml:2:3 ledger.url: the environment variable NOT_SET is not set",
        "grace.yml:4:3 prometheus.url: the environment variable ALSO_NOT is not set",
        "grace.yml:4:3 prometheus.url: write a placeholder as ${NAME}, or $$ for a dollar sign",
    ]


@pytest.mark.parametrize("key", ["max_body_bytes", "catalog", "time_scale", "alertmanager"])
def test_what_the_environment_holds_is_never_quoted(key: str, write: Write) -> None:
    path = write(f"{key}: ${{SECRET}}\n")
    (fault,) = refused(lambda: load_config(path, environment={"SECRET": "hunter2"}))
    assert "hunter2" not in fault


def test_every_fault_of_a_configuration(write: Write) -> None:
    path = write("dat_dir: x\nmax_body_bytes: 5\nprometheus: {timeout: never}\nnotify: [{file: f}]\n", "grace.yml")
    assert refused(lambda: load_config(path)) == [
        'grace.yml:1:1 dat_dir: unknown "dat_dir" (did you mean "data_dir"?)',
        "grace.yml:2:1 max_body_bytes: 5 is too small; at least 1024",
        'grace.yml:3:14 prometheus.timeout: "never" does not have the right form; write it like 30s or 5m or 1h30m',
        'grace.yml:4:10 notify[0]: "name" is missing',
    ]


def test_which_file_is_used(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRACE_CONFIG", raising=False)
    other = write("", "other.yml")
    assert config_path() is None
    here = write("", "grace.yml")
    found = config_path()
    assert found is not None
    assert found.absolute() == here
    monkeypatch.setenv("GRACE_CONFIG", "/env.yml")
    assert config_path() == Path("/env.yml")
    assert config_path(other) == other


def test_targets_are_named_by_their_keys(write: Write) -> None:
    inventory = load_inventory(
        write(
            "targets:\n"
            "  api: {driver: gunicorn, limits: {max: 4}, edge: lb, resources: [api-1]}\n"
            "  lb: {driver: haproxy, config: {socket: '${SOCK}', n: 1}}\n"
        ),
        environment={"SOCK": "/run/x"},
    )
    assert inventory.targets["api"].related(Relation.EDGE) == "lb"
    assert inventory.targets["api"].related(Relation.NODES) is None
    assert inventory.targets["lb"].config == {"socket": "/run/x", "n": 1}
    assert [target.name for target in inventory.for_resource("api-1")] == ["api"]
    assert load_inventory(None).targets == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "targets: {a: {driver: x, edge: lbb}, lb: {driver: y}}",
            'targets.a.edge: unknown target "lbb" (did you mean "lb"?)',
        ),
        ("targets: {a: {driver: x, limits: {min: 3, max: 2}}}", "targets.a.limits: min is above max"),
        ("targets: {a: {drvr: x}}", 'targets.a.drvr: unknown "drvr" (did you mean "driver"?)'),
        ("targets: {'../a': {driver: x}}", "write it like api"),
        ("targets: {a: {driver: x, name: b}}", "the target a calls itself b"),
        ("targets: {a: {driver: x, step_timeout: 9999}}", "targets.a.step_timeout: 9999 is too large; at most 600"),
        ("targets: [a]", "targets: a mapping (key: value) is expected, not a list"),
        ("", "the file is empty; write {} if that is meant"),
    ],
)
def test_a_wrong_inventory(text: str, said: str, write: Write) -> None:
    found = refused(lambda: load_inventory(write(text)))
    assert said in found[0]


def test_the_policys_defaults_are_the_documented_ones() -> None:
    policy = load_policy(None)
    assert policy.ceiling is Tier.TIER_2
    assert policy.confidence_floors == (0.6, 0.7, 0.8, 0.9)
    assert policy.cooldown_factors == (1, 2, 4, 8)
    assert (policy.prior_successes, policy.prior_failures) == (8, 2)
    assert (policy.cooldown, policy.attempt_cooldown) == (600, 120)
    assert (policy.rates.per_target_hour, policy.rates.all_hour) == (6, 30)
    assert (policy.blast.group_at_once, policy.blast.group_share, policy.blast.within) == (1, 0.25, 1800)
    assert (policy.storm.enter_groups, policy.storm.leave_below, policy.storm.leave_after) == (5, 3, 600)
    assert (policy.strikes, policy.repeat_heals, policy.repeat_heals_within) == (3, 3, 86400)
    assert policy.approvals == {"tier_1": 1, "tier_2": 1, "tier_3": 1, "tier_4": 2}
    assert (policy.approval_expiry, policy.safety_confirm_within, policy.release_after) == (1800, 1800, 3600)
    assert (policy.evidence, policy.safety_ratchet) == ("required", "immediate")


def test_a_policy_changes_only_what_it_names(write: Write) -> None:
    policy = load_policy(write("ceiling: tier_3\napprovals: {tier_4: 3}\ncooldown: 1m\nstorm: {enter_groups: 9}\n"))
    assert policy.ceiling is Tier.TIER_3
    assert policy.approvals == {"tier_1": 1, "tier_2": 1, "tier_3": 1, "tier_4": 3}
    assert (policy.cooldown, policy.storm.enter_groups, policy.storm.leave_below) == (60, 9, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ceiling: tier_9", "ceiling: unknown"),
        ("approvals: {tier_5: 1}", "tier_5"),
        ("approvals: {tier_4: 0}", "approvals.tier_4: 0 is too small; at least 1"),
        ("confidence_floors: [0.9, 0.7, 0.8, 0.9]", "confidence_floors: a higher strictness must not be laxer"),
        ("confidence_floors: [0.6]", "confidence_floors: at least 4 expected"),
        ("storm: {enter_groups: 2, leave_below: 3}", "must not be above"),
        ("evidence: trust", "evidence: unknown"),
        ("strictness: 4", "strictness: 4 is too large; at most 3"),
        ("frozen: 'no'", "frozen: true or false is expected"),
    ],
)
def test_a_wrong_policy(text: str, said: str, write: Write) -> None:
    (found,) = refused(lambda: load_policy(write(text)))
    assert said in found
