"""Decides, from facts alone, whether a plan may run: `decide(plan, facts, policy, settings) -> Decision`.

Here: what is asked (`facts`), what is answered (`verdict`), the table of checks (`checks`), and the small pure rules
beside it: how sure we are (`confidence`), which candidate comes first (`order`), when there is a storm (`storm`), what
loosens (`ratchet`). Never here: I/O, a clock, randomness, anything of the ledger, the pipeline or a driver.
"""
