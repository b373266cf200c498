"""Dashboards compiled from the catalog, and a check that finds what is broken in anybody's dashboards.

Belongs here: the dashboards of Grace (`board*`, `panels`), their provisioning, and the check over dashboard JSON
(`check/`). Never here: how a value is derived or banded (that is `rules`), or anything that asks a running Grafana.
"""
