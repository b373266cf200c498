"""The dashboards of Grace, each a function from the catalog to its JSON.

`frame` and `panels` are the only modules that know Grafana's Foundation SDK: a new schema is a change there. The
others say what is shown, from which series, and why.
"""
