"""The web page of the remediator: what is now, every incident's story, and what waits for a person.

Rendered on the server; without scripts everything works but the live view.
"""
