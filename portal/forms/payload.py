"""A form for any typed payload: the pydantic model of an action becomes fields, groups, lists and matrices.

Names in the form are dotted paths ("document.bands.0.below"), the same in a query string, so that any page can link to
a form that is filled in already. What is valid is decided by the payload's own model alone.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from annotated_types import MaxLen
from django.http import QueryDict
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

MOST_ITEMS = 50
_LONG_TEXT = 160
_UNITS = {"_frac": "as a fraction", "_bps": "bps", "_ms": "ms", "_usd": "USD", "_days": "days", "_h": "h", "_s": "s"}
#: Of a second: a browser's field takes no six places of it and would stay empty.
_FRACTION = re.compile(r"(?<=:\d\d)\.\d+$")
#: Pydantic's kinds of error in the words of a form; the others are told as pydantic tells them.
_BY_TYPE = {
    "missing": "Fill this in",
    "decimal_parsing": "Write a number, for example 12.5",
    "decimal_type": "Write a number, for example 12.5",
    "int_parsing": "Write a whole number",
    "finite_number": "Write a finite number",
    "too_short": "Choose at least one",
    "enum": "Choose one of those offered",
    "literal_error": "Choose one of those offered",
    "datetime_from_date_parsing": "Write a date and a time",
    "date_from_datetime_parsing": "Write a date, for example 2026-01-31",
}


@dataclass(frozen=True)
class Hint:
    """What a page knows of a field beyond its type. ``suggest`` are (value, label) to choose from freely, ``choices``
    to choose from only; ``leave_out`` names values of an enumeration that are not offered."""

    label: str = ""
    help: str = ""
    unit: str = ""
    suggest: Callable[[], list[tuple[str, str]]] | None = None
    choices: Callable[[], list[tuple[str, str]]] | None = None
    leave_out: frozenset[str] = frozenset()
    words: Callable[[Any], str] | None = None
    column_words: Callable[[Any], str] | None = None


Hints = Callable[[str], Hint]


@dataclass
class Node:
    """One part of the form; ``shape`` names how it is drawn (templates/approvals/_node.html)."""

    shape: str
    name: str
    label: str
    help: str = ""
    unit: str = ""
    required: bool = False
    value: Any = ""
    choices: list[tuple[str, str, Any]] = field(default_factory=list)
    suggestions: list[tuple[str, str]] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    columns: list[tuple[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    optional: bool = False
    on: bool = True

    @property
    def id(self) -> str:
        return "f-" + "".join(c if c.isalnum() else "-" for c in self.name)

    @property
    def wrong(self) -> bool:
        return bool(self.errors) or any(child.wrong for child in self.children)

    @property
    def may_be_empty(self) -> bool:
        """True where leaving it empty says something."""
        return not self.required and self.shape != "choice" and (self.optional or self.value in ("", None))

    @property
    def wide(self) -> bool:
        return self.shape in {"area", "lines", "json", "group", "list", "matrix", "counts", "checks"}


# --- Types ------------------------------------------------------------------------------------------------------
def bare(annotation: Any) -> tuple[Any, bool, tuple[Any, ...]]:
    """The type without Annotated and None: (type, whether None is allowed, the metadata on the way)."""
    optional, metadata = False, ()
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *rest = get_args(annotation)
            metadata = (*metadata, *rest)
        elif origin in (Union, types.UnionType):
            inner = [part for part in get_args(annotation) if part is not type(None)]
            optional = optional or len(inner) < len(get_args(annotation))
            if len(inner) != 1:
                return annotation, optional, metadata
            annotation = inner[0]
        else:
            return annotation, optional, metadata


def _is(annotation: Any, base: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, base)


def _item(annotation: Any) -> Any:
    """What a list, tuple or set holds; None when it is no such thing."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (list, set, frozenset, tuple) or (isinstance(origin, type) and issubclass(origin, Sequence)):
        if origin is tuple and (len(args) != 2 or args[1] is not Ellipsis):
            return None
        return bare(args[0])[0]
    return None


def _enumerated(annotation: Any) -> bool:
    return _is(annotation, Enum) or get_origin(annotation) is Literal


def shape_of(annotation: Any) -> str:
    """How values of this type are asked for."""
    annotation, _, metadata = bare(annotation)
    if _is(annotation, BaseModel):
        return "group"
    if _enumerated(annotation):
        return "choice"
    for kind, shape in ((bool, "check"), (int, "number"), (Decimal, "number"), (float, "number")):
        if annotation is kind:
            return shape
    if _is(annotation, datetime):
        return "datetime"
    if _is(annotation, date):
        return "date"
    if getattr(annotation, "__name__", "") in {"AwareDatetime", "PastDatetime", "FutureDatetime", "NaiveDatetime"}:
        return "datetime"
    if annotation is str or annotation is UUID:
        long = any(isinstance(rule, MaxLen) and rule.max_length > _LONG_TEXT for rule in metadata)
        return "area" if long else "text"
    item = _item(annotation)
    if item is not None:
        inner = shape_of(item)
        return {"group": "list", "choice": "checks", "text": "lines", "number": "lines", "date": "lines"}.get(
            inner, "json"
        )
    if get_origin(annotation) is dict:
        key, value = (bare(part)[0] for part in get_args(annotation))
        if _enumerated(key) and shape_of(value) in {"number", "text"}:
            return "counts"
        if _enumerated(key) and shape_of(value) == "checks":
            return "matrix"
    return "json"


def _members(annotation: Any, hint: Hint) -> list[tuple[str, str]]:
    """(value, label) of an enumeration."""
    if get_origin(annotation) is Literal:
        pairs = [(str(value), str(value)) for value in get_args(annotation)]
    else:
        pairs = [(str(member.value), hint.words(member) if hint.words else _said(member)) for member in annotation]
    return [(value, label) for value, label in pairs if value not in hint.leave_out]


def _said(member: Enum) -> str:
    label = getattr(member, "label", None)
    if label:
        return str(label)
    value = str(member.value)
    return value if any(c.isupper() or c == " " for c in value) else value.replace("_", " ").capitalize()


# --- Reading what was sent ------------------------------------------------------------------------------------------
def read_form(model: type[BaseModel], data: QueryDict, *, prefix: str = "", posted: bool) -> dict[str, Any]:
    """The nested payload of a form's answers, as text; ``posted`` False reads a query string, where what is not
    named keeps its default."""
    found: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        path = f"{prefix}{name}"
        given, value = _read(path, info.annotation, info.metadata, data, posted=posted)
        if given:
            found[name] = value
    return found


def _read(path: str, annotation: Any, metadata: Any, data: QueryDict, *, posted: bool) -> tuple[bool, Any]:
    kind, optional, _ = bare(annotation)
    shape = shape_of(Annotated[annotation, *metadata] if metadata else annotation)
    named = [name for name in data if name == path or name.startswith(f"{path}.")]
    match shape:
        case "group":
            on = data.get(f"{path}.on") is not None if posted else bool(named)
            if optional and not on:
                return posted, None
            return bool(named), read_form(kind, data, prefix=f"{path}.", posted=posted)
        case "list":
            return _read_list(path, _item(kind), data, named, posted=posted)
        case "check":
            if posted:
                return True, path in data
            return path in data, data.get(path, "").lower() in {"1", "true", "on", "yes"}
        case "checks":
            chosen = [value for value in data.getlist(path) if value]
            return bool(chosen) or posted, chosen
        case "lines":
            lines = [line.strip() for line in data.get(path, "").replace(",", "\n").splitlines() if line.strip()]
            return bool(lines) or posted, lines
        case "counts":
            start = len(path) + 1
            given = {name[start:]: (data.get(name) or "").strip() for name in named}
            return bool(named), {key: text for key, text in given.items() if text}
        case "matrix":
            start = len(path) + 1
            rows = {name[start:]: [v for v in data.getlist(name) if v] for name in named if name != path}
            return bool(named) or posted, {key: values for key, values in rows.items() if values}
        case "json":
            return _read_json(data.get(path, "").strip())
    text = data.get(path, "").strip()
    if not text:
        # An emptied field that may be empty means that: nothing, not its default.
        return (
            (True, None) if optional and path in data else (posted and shape in {"text", "area"} and path in data, "")
        )
    if shape == "datetime" and "T" in text and not text.endswith("Z") and "+" not in text:
        text += "Z"
    return True, text.replace(",", "") if shape == "number" else text


def _read_list(path: str, item: Any, data: QueryDict, named: list[str], *, posted: bool) -> tuple[bool, Any]:
    start = len(path) + 1
    places = {int(part) for name in named if (part := name[start:].split(".")[0]).isdecimal()}
    count = data.get(f"{path}.count", "")
    if count.isdecimal():
        places = set(range(int(count)))
    gone, more = data.get("_remove", ""), data.get("_add", "")
    items = [
        read_form(item, data, prefix=f"{path}.{place}.", posted=posted)
        for place in sorted(places)[:MOST_ITEMS]
        if gone != f"{path}.{place}"
    ]
    if more == path and len(items) < MOST_ITEMS:
        items.append({})
    return bool(items) or posted, items


def _read_json(text: str) -> tuple[bool, Any]:
    if not text:
        return False, None
    try:
        return True, json.loads(text, parse_float=str)
    except ValueError:
        return True, text


# --- Drawing ------------------------------------------------------------------------------------------------------
Errors = Mapping[str, list[str]]


def errors_of(refused: ValidationError, *, prefix: str = "") -> dict[str, list[str]]:
    """By dotted path, in words for a person."""
    found: dict[str, list[str]] = {}
    for error in refused.errors():
        place = ".".join(str(part) for part in error["loc"] if part != "[key]")
        text = _BY_TYPE.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
        found.setdefault(f"{prefix}{place}".rstrip("."), []).append(_sentence(text))
    return found


def _sentence(text: str) -> str:
    text = text.replace("Input should be", "This should be").replace("String should", "The text should")
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def nodes_of(
    model: type[BaseModel], values: Mapping[str, Any], errors: Errors, hints: Hints, *, prefix: str = ""
) -> list[Node]:
    """The fields of a model with their values and errors, in the model's order."""
    return [
        _node(f"{prefix}{name}", name, info, values.get(name, PydanticUndefined), errors, hints)
        for name, info in model.model_fields.items()
    ]


def general_errors(errors: Errors, nodes: Sequence[Node]) -> list[str]:
    """Errors that stand beside no field."""
    placed: set[str] = set()

    def visit(node: Node) -> None:
        placed.add(node.name)
        placed.update(f"{node.name}.{value}" for value, *_ in node.choices)
        for child in node.children:
            visit(child)

    for node in nodes:
        visit(node)
    return [text for path, texts in errors.items() if path not in placed for text in texts]


def _default(info: FieldInfo) -> Any:
    value = info.get_default(call_default_factory=True, validated_data={})
    return None if value is PydanticUndefined else value


def _plain(value: Any) -> Any:
    """A value as the form writes it."""
    match value:
        case None:
            return ""
        case Enum():
            return str(value.value)
        case bool():
            return value
        case datetime():
            return value.isoformat()
        case BaseModel():
            return value.model_dump(mode="json")
        case Decimal():
            return format(value, "f")
    return value


def _node(path: str, name: str, info: FieldInfo, value: Any, errors: Errors, hints: Hints) -> Node:
    hint = hints(path)
    kind, optional, _ = bare(info.annotation)
    shape = shape_of(Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation)
    if value is PydanticUndefined:
        value = _default(info)
    unit = hint.unit or _extra(info, "unit") or next((u for end, u in _UNITS.items() if name.endswith(end)), "")
    end = next((end for end in _UNITS if name.endswith(end)), "")
    node = Node(
        shape=shape,
        name=path,
        label=(hint.label or info.title or name.removesuffix(end).replace("_", " ").capitalize()).strip(),
        help=hint.help or info.description or "",
        unit=unit,
        required=info.is_required() and not optional,
        errors=list(errors.get(path, ())),
        optional=optional,
    )
    if hint.suggest is not None:
        node.suggestions = hint.suggest()
        node.shape = "text" if node.shape == "area" else node.shape
    _fill(node, kind, value, errors, hints, hint)
    return node


def _fill(node: Node, kind: Any, value: Any, errors: Errors, hints: Hints, hint: Hint) -> None:
    value = _plain(value)
    match node.shape:
        case "group":
            node.on = not node.optional or bool(value)
            inner = value if isinstance(value, Mapping) else {}
            node.children = nodes_of(kind, inner, errors, hints, prefix=f"{node.name}.")
        case "list":
            items = value if isinstance(value, list | tuple) else []
            node.children = [_element(node, kind, place, item, errors, hints) for place, item in enumerate(items)]
        case "choice":
            node.value = str(value)
            node.choices = [(v, label, v == node.value) for v, label in _members(kind, hint)]
        case "checks":
            chosen = {str(_plain(one)) for one in value} if isinstance(value, list | tuple | set) else set()
            node.choices = [(v, label, v in chosen) for v, label in _members(_item(kind), hint)]
        case "counts":
            given = {str(_plain(k)): v for k, v in value.items()} if isinstance(value, Mapping) else {}
            keys = _members(bare(get_args(kind)[0])[0], hint)
            node.choices = [(v, label, given.get(v, "")) for v, label in keys]
            node.errors += [text for v, label in keys for text in errors.get(f"{node.name}.{v}", ())]
        case "matrix":
            given = {str(_plain(k)): v for k, v in value.items()} if isinstance(value, Mapping) else {}
            keys, values = (bare(part)[0] for part in get_args(kind))
            node.columns = _members(_item(values), Hint(words=hint.column_words))
            node.choices = [
                (v, label, [(c, w, c in {str(_plain(one)) for one in given.get(v, ())}) for c, w in node.columns])
                for v, label in _members(keys, hint)
            ]
            node.errors += [t for v, _, _ in node.choices for t in errors.get(f"{node.name}.{v}", ())]
        case "lines":
            node.value = "\n".join(str(_plain(one)) for one in value) if isinstance(value, list | tuple) else value
        case "datetime":
            node.value = _FRACTION.sub("", str(value).replace("+00:00", "").removesuffix("Z"))
        case "json":
            node.value = value if isinstance(value, str) else json.dumps(value, indent=2, default=str)
        case "check":
            node.value = bool(value)
        case _:
            node.value = value
    if hint.choices is not None and node.shape in {"text", "area", "number"}:
        node.shape, offered, picked = "choice", hint.choices(), str(node.value)
        rest = [] if not picked or picked in {v for v, _ in offered} else [(picked, picked)]
        node.choices = [(v, label, v == picked) for v, label in [*offered, *rest]]


def _element(node: Node, kind: Any, place: int, item: Any, errors: Errors, hints: Hints) -> Node:
    path = f"{node.name}.{place}"
    inner = _plain(item) if isinstance(item, BaseModel) else item
    model = _item(kind)
    return Node(
        shape="element",
        name=path,
        label=f"{node.label.removesuffix('s')} {place + 1}",
        errors=list(errors.get(path, ())),
        children=nodes_of(model, inner if isinstance(inner, Mapping) else {}, errors, hints, prefix=f"{path}."),
    )


def _extra(info: FieldInfo, name: str) -> str:
    extra = info.json_schema_extra
    return str(extra.get(name, "")) if isinstance(extra, Mapping) else ""
