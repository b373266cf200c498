"""The provisioning files are what Grafana reads."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from grafana.provisioning import DASHBOARDS


def test_the_data_source_takes_its_address_from_the_environment(files: Mapping[str, str]) -> None:
    (source,) = yaml.safe_load(files["provisioning/datasources/grace.yml"])["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "$GRACE_PROMETHEUS_URL", True)


def test_the_provider_points_at_the_folder_and_lets_nobody_edit(files: Mapping[str, str]) -> None:
    (provider,) = yaml.safe_load(files["provisioning/dashboards/grace.yml"])["providers"]
    assert provider["options"]["path"] == DASHBOARDS
    assert provider["allowUiUpdates"] is False
