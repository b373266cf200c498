"""Who is asking, and what they may: tokens, roles, and the checks every request passes before its handler.

Never here: what a request does, or the approval rules of a plan (`governance`).
"""
