"""A check over dashboard JSON, whoever wrote it: what is broken on its face, and what a real Prometheus answers.

`document` reads, `shape` and `promql` look without asking anybody, `live` asks Prometheus. Nothing here knows Grace's
catalog, nor how Grace's own dashboards are made; it needs no Grafana.
"""
