"""A record that nobody can quietly change: sealed entries in a hash chain, anchored by signed checkpoints.

`entry` seals, `chain` links inside the ledger's own transaction, `schema` is the append-only table, `checkpoint` signs
and keeps anchors outside the database, `verify` reads it all back and names the first entry that is not as it was
written, `export` carries it elsewhere, `store` reads the ledger file without touching it.

Never here: what is recorded and when (pipeline), the transaction it is recorded in (ledger).
"""
