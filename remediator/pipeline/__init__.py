"""An incident's life, stage by stage: notice → look → plan → decide → act → verify, and undo or release.

`life` is the table state → stage; `scheduler` gives each due incident to it; every stage reads the world through
`parts.Parts` and leaves its result in the ledger, so that a process that dies is taken up where it stood.

Never here: SQL (ledger), how a thing is done (drivers), whether it may be done (governance).
"""
