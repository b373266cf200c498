"""`grace doctor`: what is missing or misconfigured in any setup, asked of its own APIs, and how to mend it.

One check a function; `examination` has the table of them. Never here: mending anything.
"""
