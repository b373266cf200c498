"""What Alertmanager posts, parsed once at the edge: after this there is no raw JSON of an alert.

Never here: storing alerts, deciding about them (`pipeline`), or answering HTTP.
"""
