"""Collectors to `/metrics`: every number Grace acts on, measured in the background and never invented.

`config` (what to collect) → `probes` by `collectors/` → `schedule` (one probe, one flight, one deadline) → `snapshot`
(the last good reading of each, withdrawn when it is too old) → `exposition` → `web`. `middleware/` is the one part that
runs elsewhere: inside the services that are measured.

Never here: what is good or bad about a number, PromQL, or anything that changes the measured system.
"""
