"""The compiler: a catalog becomes Prometheus rules, an Alertmanager configuration, and promtool tests of both.

Belongs here: text that is generated from the catalog, the writer that puts it on disk, and the checks of that text.
Never here: reading the catalog's files (that is `catalog`), talking to a running Prometheus or Alertmanager.

`compile` is the way in: catalog → groups (`groups`) → PromQL (`derive`, `bands`, `promql`) → YAML (`yamltext`).
"""
