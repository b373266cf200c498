"""Subcommands of `grace` that talk to the remediator, one file per noun."""
