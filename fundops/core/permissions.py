"""May this person do this? One question, asked the same way by actions, pages and the API; no by default.

A permission is held through a role (a group, for everything of its kind) or on one object (django-guardian).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponseBase
from guardian.shortcuts import get_objects_for_user
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from fundops.core.errors import PermissionMissingError
from fundops.core.models import User

if TYPE_CHECKING:
    from rest_framework.views import APIView

#: Declares, in the place of a permission, that being signed in is enough.
SIGNED_IN = "signed-in"

M = TypeVar("M", bound=Model)
AnyUser = User | AnonymousUser
Declared = str | Mapping[str, str]
#: Says of a reader without the role whether any single object was granted to them (django-guardian).
ByObject = Callable[[Any], bool]


def may(user: AnyUser, permission: str, obj: Model | None = None) -> bool:
    """True when ``user`` holds ``permission`` by role, or on ``obj``."""
    if not user.is_active or not user.is_authenticated:
        return False
    if permission == SIGNED_IN:
        return True
    return user.has_perm(permission) or (obj is not None and user.has_perm(permission, obj))


def require(user: AnyUser, permission: str, obj: Model | None = None) -> None:
    """Raises PermissionMissingError, naming the permission, unless ``user`` holds it."""
    if not may(user, permission, obj):
        raise PermissionMissingError(permission)


def for_user(queryset: QuerySet[M], user: AnyUser, permission: str) -> QuerySet[M]:
    """The rows on which ``user`` holds ``permission``: all by role, some by object, else none."""
    if may(user, permission):
        return queryset
    if not user.is_authenticated or not user.is_active:
        return queryset.none()
    allowed: QuerySet[M] = get_objects_for_user(
        user, permission, klass=queryset, accept_global_perms=False, with_superuser=False
    )
    return allowed


# --- Pages ---
View = TypeVar("View", bound=Callable[..., HttpResponseBase])


def permission_required(permission: str, *, by_object: ByObject | None = None) -> Callable[[View], View]:
    """Decorates a page's function: the permission is checked before it, and can be read off it.

    ``by_object`` lets in who was granted single objects; the page then shows what ``for_user`` leaves.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if by_object is None or may(request.user, permission) or not by_object(request.user):
                require(request.user, permission)
            return view(request, *args, **kwargs)

        guarded.permission = permission  # type: ignore[attr-defined]
        return guarded  # type: ignore[return-value]

    return decorate


class PermissionRequiredMixin:
    """For page classes: ``permission = "trading.view_cohort"``; a class that declares none answers nobody.

    ``by_object`` is as for ``permission_required``.
    """

    permission: str = ""
    by_object: ByObject | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.permission:
            raise ImproperlyConfigured(f"{type(self).__name__} must declare the permission it needs.")
        opened = type(self).by_object
        if opened is None or may(request.user, self.permission) or not opened(request.user):
            require(request.user, self.permission)
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        return response


# --- The API ---
def declared_permission(view: APIView, method: str) -> str:
    """What ``view`` says it needs for this call.

    ``permission`` is one name for every method, or a mapping by action name ("cancel") or method ("POST").
    """
    declared: Declared | None = getattr(view, "permission", None)
    if isinstance(declared, str):
        return declared
    if declared:
        reading = "GET" if method in {"HEAD", "OPTIONS"} else ""
        for key in (getattr(view, "action", None) or "", method, reading):
            if key in declared:
                return declared[key]
    raise ImproperlyConfigured(f"{type(view).__name__} declares no permission for {method}.")


class DeclaredPermission(BasePermission):
    """The API's only permission class: views declare ``permission``; one that does not, answers nobody.

    ``by_object`` lets in, to read, who was granted single objects; what they read is the view's queryset, which
    ``for_user`` narrows to those. Whoever was granted none is refused as without it.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not request.user.is_authenticated:
            raise NotAuthenticated
        method = request.method or "GET"
        if not hasattr(view, method.lower()):
            return True  # the view has no such method and says so itself
        permission = declared_permission(view, method)
        if not _reads_by_object(request, view):
            require(request.user, permission)
        return True

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        if not _reads_by_object(request, view):
            require(request.user, declared_permission(view, request.method or "GET"), obj)
        return True


def _reads_by_object(request: Request, view: APIView) -> bool:
    opened: ByObject | None = getattr(type(view), "by_object", None)
    if opened is None or request.method not in SAFE_METHODS:
        return False
    return not may(request.user, declared_permission(view, request.method or "GET")) and opened(request.user)
