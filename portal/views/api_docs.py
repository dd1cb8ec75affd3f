"""The API's documentation as a page of ours, made from the schema on the server: it needs no script."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator

from fundops.core.permissions import permission_required

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Parameter:
    name: str
    place: str
    kind: str
    required: bool
    text: str


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    summary: str
    text: str
    permission: str
    parameters: tuple[Parameter, ...]
    body: str
    answers: tuple[tuple[str, str], ...]


@dataclass
class Tag:
    name: str
    operations: list[Operation] = field(default_factory=list)


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"][:8]))
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return f"{kind} ({schema['format']})" if "format" in schema else kind


def _operation(method: str, path: str, raw: dict[str, Any]) -> Operation:
    summary, _, rest = str(raw.get("description", "")).strip().partition("\n")
    parameters = tuple(
        Parameter(p["name"], p["in"], _kind(p.get("schema", {})), p.get("required", False), p.get("description", ""))
        for p in raw.get("parameters", [])
    )
    content = raw.get("requestBody", {}).get("content", {})
    body = next((_kind(media.get("schema", {})) for media in content.values()), "")
    answers = tuple((code, answer.get("description", "")) for code, answer in raw["responses"].items())
    return Operation(
        method.upper(),
        path,
        raw.get("summary") or summary,
        rest.strip(),
        raw.get("x-permission", ""),
        parameters,
        body,
        answers,
    )


def documented() -> list[Tag]:
    """Every operation of the schema, by tag."""
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    tags: dict[str, Tag] = {}
    for path, operations in schema["paths"].items():
        for method in _METHODS:
            if raw := operations.get(method):
                name = (raw.get("tags") or ["api"])[0]
                tags.setdefault(name, Tag(name)).operations.append(_operation(method, path, raw))
    return sorted(tags.values(), key=lambda tag: tag.name)


@permission_required("core.view_api_docs")
def api_docs(request: HttpRequest) -> HttpResponse:
    context = {"tags": documented(), "crumbs": [("System", ""), ("API", "")]}
    return render(request, "portal/api_docs.html", context)
