"""`grace up` and what it stands on: tools from the distribution, supervised children, the live status.

Here belongs what starts, watches and stops whole processes. What those processes do belongs to their own packages;
this one only calls their public functions.
"""
