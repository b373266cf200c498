"""The HTTP API under `/api/v1`: documents (`views`), reading and changing (`handlers`), the event stream (`stream`).

Never here: SQL, or a decision. A handler checks its input, calls the ledger or the pipeline, and shapes the answer.
"""
