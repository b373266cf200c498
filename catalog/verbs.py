"""Which arguments each verb of a playbook takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catalog.fault import did_you_mean

_CHANGES = {"strictness": "by", "ceiling": "by", "supervised": "to", "frozen": "to"}
_TAKES: Mapping[str, tuple[str, ...]] = {
    "scale": ("by", "factor", "to"),
    "shift": ("factor",),
    "throttle": ("factor", "to"),
    "govern": ("change", "by", "to"),
    "notify": ("message",),
}


def wrong_args(verb: str, args: Mapping[str, Any]) -> str | None:
    """What is wrong with the arguments of a step, in words; None when nothing is.

    scale: one of `by` (a whole number), `factor` (above 0), `to` (a whole number). shift, throttle: `factor` between 0
    and 1. govern: `change` and what it becomes. notify: an optional `message`. All others take none.
    """
    takes = _TAKES.get(verb, ())
    for name in args:
        if name not in takes:
            return f'{verb} takes {" or ".join(takes) or "no arguments"}, not "{name}"{did_you_mean(name, takes)}'
    if verb == "govern":
        return _wrong_change(args)
    if verb in ("scale", "shift", "throttle") and len(args) != 1:
        return f"{verb} takes exactly one of {', '.join(takes)}"
    for name in ("by", "to"):
        if name in args and (isinstance(args[name], bool) or not isinstance(args[name], int)):
            return f"{verb} {name}: a whole number is expected"
    if "factor" in args:
        factor, top = args["factor"], 1.0 if verb != "scale" else 100.0
        if not isinstance(factor, int | float) or not 0 < factor < top:
            return f"{verb} factor: a number between 0 and {top:g} is expected"
    return None


def _wrong_change(args: Mapping[str, Any]) -> str | None:
    change = args.get("change")
    if change not in _CHANGES:
        return f"govern changes one of {', '.join(_CHANGES)}{did_you_mean(change, list(_CHANGES))}"
    how = _CHANGES[str(change)]
    if set(args) != {"change", how} or not isinstance(args[how], int) or isinstance(args[how], bool):
        return f"govern {change} takes `{how}`, a whole number"
    return None
