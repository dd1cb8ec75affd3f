"""Makes the groups in the database equal to the permission matrix."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission

from fundops.core.roles import MATRIX


def sync_roles(*, using: str = "default") -> None:
    """Creates the eight groups and sets their permissions; idempotent."""
    known = {
        f"{p.content_type.app_label}.{p.codename}": p
        for p in Permission.objects.using(using).select_related("content_type")
    }
    for role, grants in MATRIX.items():
        group, _ = Group.objects.using(using).get_or_create(name=role.value)
        group.permissions.set([p for name, p in known.items() if any(fnmatchcase(name, g) for g in grants)])


def sync_after_migrate(*, using: str, **_kwargs: Any) -> None:
    # Permissions of apps that come after this one are created by their own handlers, later: make them now.
    for config in apps.get_app_configs():
        create_permissions(config, verbosity=0, interactive=False, using=using)
    sync_roles(using=using)
