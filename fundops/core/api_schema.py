"""The OpenAPI document's additions: the permission of every operation, and the problems it may answer."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from fundops.core.permissions import declared_permission
from fundops.core.problems import PROBLEM_JSON


class Schema(AutoSchema):
    """Adds to every operation the permission it needs."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is not None:
            operation["x-permission"] = declared_permission(self.view, self.method)
        return operation


class SessionLoginScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Names the session's cookie as the way to sign in."""

    target_class = "fundops.core.api_classes.SessionLogin"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457. Further members belong to the code.",
    "required": ["type", "title", "status", "code", "detail", "instance"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable; programs branch on it."},
        "detail": {"type": "string", "description": "What a person can do about it."},
        "instance": {"type": "string"},
        "errors": {"type": "object", "additionalProperties": True},
    },
    "additionalProperties": True,
}
_PROBLEMS = {
    "400": "Invalid input",
    "401": "Not signed in",
    "403": "Permission missing",
    "404": "Not found",
    "429": "Too many requests",
}


def add_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:  # noqa: FBT001
    """Schema hook: every operation may answer with a problem."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operations in result.get("paths", {}).values():
        for operation in operations.values():
            if isinstance(operation, dict):
                for code, text in _PROBLEMS.items():
                    operation["responses"].setdefault(code, {"description": text, "content": content})
    return result
