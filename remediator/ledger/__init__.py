"""The durable state: one schema, one small interface, SQL nowhere else.

`engine.Ledger` runs functions inside transactions (`write`, `read`); the modules named after nouns (`alerts`,
`incidents`, `runs`, `approvals`, `settings`, `tokens`, `snapshots`) are those functions. Every fact is recorded in
the audit chain by `Tx.record`, in the same transaction as the change it tells of.

Never here: what to do about a fact (pipeline), whether it may be done (governance).
"""
