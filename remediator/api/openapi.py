"""The API described for machines (OpenAPI 3.1), from the same table that serves it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from remediator.auth.requests import access_of

Json = dict[str, Any]

_REASON: Json = {"type": "string", "minLength": 1, "maxLength": 2000, "description": "Stands in the audit log."}
_REASONED: Json = {"type": "object", "properties": {"reason": _REASON}, "required": ["reason"]}
_REASON_IF_ANY: Json = {"type": "object", "properties": {"reason": _REASON}}

BODIES: Mapping[str, Json] = {
    "post_alerts": {
        "type": "object",
        "description": "Alertmanager's webhook payload, version 4; unknown fields are ignored.",
        "properties": {
            "version": {"const": "4"},
            "status": {"enum": ["firing", "resolved"]},
            "alerts": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["version", "status", "alerts"],
    },
    "ack_incident": _REASON_IF_ANY,
    "close_incident": _REASONED,
    "start_run": {
        "type": "object",
        "properties": {
            "playbook": {"type": "string"},
            "target": {"type": "string"},
            "dry_run": {"type": "boolean", "default": False},
            "reason": _REASON,
        },
        "required": ["playbook", "target"],
    },
    "cancel_run": _REASON_IF_ANY,
    "undo_run": _REASON_IF_ANY,
    "release_run": _REASONED,
    "approve": _REASONED,
    "reject": _REASONED,
    "put_governance": {
        "type": "object",
        "properties": {
            "ceiling": {"enum": ["tier_1", "tier_2", "tier_3", "tier_4"]},
            "strictness": {"type": "integer", "minimum": 0, "maximum": 3},
            "supervised": {"type": "boolean"},
            "frozen": {"type": "boolean"},
            "shadow": {"type": "boolean"},
            "reason": _REASON,
        },
        "required": ["reason"],
        "additionalProperties": False,
    },
    "confirm_policy": _REASONED,
    "put_hold": {
        "type": "object",
        "properties": {
            "seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": 2592000},
            "reason": _REASON,
        },
        "required": ["seconds", "reason"],
    },
    "delete_hold": _REASON_IF_ANY,
    "add_token": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$"},
            "role": {"enum": ["alertmanager", "viewer", "approver", "operator", "admin"]},
        },
        "required": ["name", "role"],
    },
}
"""What each handler that takes a body takes."""

_ANSWERS: Mapping[str, tuple[str, str]] = {
    "post_alerts": ("202", "Stored durably; `{accepted, duplicates}`."),
    "start_run": ("201", "The run; with `dry_run` (200) only what it would do and the verdict it would get."),
    "undo_run": ("202", "The run, being undone."),
    "release_run": ("202", "The run, being given back."),
    "add_token": ("201", "`{name, role, token}`: the only answer that ever carries a token."),
}
_OTHER_THAN_JSON = {
    "show_checkpoint": "text/plain",
    "export_audit": "application/jsonl",
    "stream": "text/event-stream",
}


def document(routes: Iterable[tuple[str, str, Any]]) -> Json:
    """The OpenAPI document of these routes: (method, path, handler)."""
    paths: dict[str, Json] = {}
    for method, path, handler in routes:
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, handler)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Grace remediator", "version": version("grace")},
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Problem": {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                    },
                    "required": ["type", "title", "status"],
                }
            },
        },
        "security": [{"token": []}],
    }


def _operation(method: str, path: str, handler: Any) -> Json:
    name = handler.__name__
    access = access_of(handler)
    status, meaning = _ANSWERS.get(name, ("200", "Done."))
    media = _OTHER_THAN_JSON.get(name, "application/json")
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation: Json = {
        "operationId": name,
        "summary": (handler.__doc__ or name.replace("_", " ").capitalize()).strip().splitlines()[0],
        "x-role": access.role.value if access.role else None,
        "parameters": [*_in_path(path), *_in_query(method, name)],
        "responses": {
            status: {"description": meaning, "content": {media: {}}},
            "default": {"description": "What went wrong, and what to do.", "content": problem},
        },
    }
    if access.open_on_loopback or access.role is None:
        operation["security"] = [{"token": []}, {}]
    if name in BODIES:
        operation["requestBody"] = {
            "required": "required" in BODIES[name],
            "content": {"application/json": {"schema": BODIES[name]}},
        }
    return operation


def _in_path(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _in_query(method: str, name: str) -> list[Json]:
    if method != "GET" or name not in ("list_incidents", "list_runs", "list_approvals", "list_audit"):
        return []
    found: list[Json] = [
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}},
        {"name": "cursor", "in": "query", "schema": {"type": "string"}},
    ]
    if name != "list_audit":
        found.append(
            {"name": "state", "in": "query", "schema": {"type": "string"}, "description": "One or several, by comma."}
        )
    if name == "list_runs":
        found.append(
            {
                "name": "all",
                "in": "query",
                "schema": {"type": "boolean", "default": False},
                "description": "Also plans that never began (held, refused, expired).",
            }
        )
    if name == "list_audit":
        found.append({"name": "incident", "in": "query", "schema": {"type": "string"}})
    return found
