"""The header in which a Celery task says when it was sent."""

HEADER = "grace_sent_at"
"""Epoch seconds."""
