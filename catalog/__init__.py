"""The vocabulary of Grace: what is measured, what is good or bad about it, and what may be done about it.

Typed, frozen models (`catalog.model`), the loader that turns YAML files into them (`catalog.load`), and the shipped
entries (`catalog/entries/*.yaml`). Everything else in Grace is compiled from, or decided by, what stands here.

Never here: PromQL, HTTP, a clock, a database. This package imports nothing of ours.
"""
