"""The permission matrix as a page: every role, every permission, as the database enforces them now."""

from __future__ import annotations

from dataclasses import dataclass

from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from fundops.core.permissions import permission_required
from fundops.core.roles import ABOUT, Role

#: Bookkeeping of libraries and of row history: nobody is granted these by name.
_HIDDEN_APPS = ("contenttypes", "sessions", "admin", "account", "guardian")
#: The fund's own subjects first, then the libraries'.
_ORDER = ("trading", "risk", "treasury", "compliance", "reporting", "portal", "core")


@dataclass(frozen=True)
class Row:
    name: str
    label: str
    holds: tuple[bool, ...]


@dataclass(frozen=True)
class Area:
    title: str
    rows: tuple[Row, ...]


def matrix() -> tuple[Area, ...]:
    """The permissions some role holds, by application, with one flag a role in the order of `Role`."""
    held = {
        group.name: set(group.permissions.values_list("pk", flat=True))
        for group in Group.objects.filter(name__in=[role.value for role in Role])
    }
    areas: dict[str, list[Row]] = {}
    permissions = (
        Permission.objects.exclude(content_type__app_label__in=_HIDDEN_APPS)
        .exclude(codename__contains="historical")
        .select_related("content_type")
        .order_by("content_type__app_label", "content_type__model", "codename")
    )
    for permission in permissions:
        flags = tuple(permission.pk in held.get(role.value, ()) for role in Role)
        if any(flags):
            label = permission.content_type.app_label
            row = Row(f"{label}.{permission.codename}", permission.name, flags)
            areas.setdefault(label, []).append(row)
    ours = [label for label in _ORDER if label in areas]
    libraries = sorted(areas.keys() - set(ours))
    return tuple(
        Area(str(apps.get_app_config(label).verbose_name), tuple(areas[label])) for label in [*ours, *libraries]
    )


@permission_required("core.view_roles")
def roles(request: HttpRequest) -> HttpResponse:
    context = {
        "roles": [(role.value, ABOUT[role]) for role in Role],
        "areas": matrix(),
        "crumbs": [("Control", ""), ("Roles", "")],
    }
    return render(request, "portal/roles.html", context)
