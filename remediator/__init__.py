"""Alertmanager webhook → governed, verified playbook runs → audit.

`app` constructs everything; `webhook` and `api` speak HTTP; `pipeline` drives incidents through their life;
`governance` decides (pure); `ledger` remembers; `audit` proves; `drivers` act. Lower layers never import higher ones.

Never here: how a metric is collected (exporter), how a rule is written (rules).
"""
