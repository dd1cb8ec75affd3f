"""Who may do what: by role, by object, and no by default; in actions, on pages and in the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.views import View
from guardian.shortcuts import assign_perm
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from fundops.core.errors import PermissionMissingError
from fundops.core.models import User
from fundops.core.permissions import (
    SIGNED_IN,
    DeclaredPermission,
    PermissionRequiredMixin,
    declared_permission,
    for_user,
    may,
    require,
)
from fundops.core.roles import Role
from tests.factories import cast, everyone, user_with

pytestmark = pytest.mark.django_db


def test_require_names_the_missing_permission() -> None:
    with pytest.raises(PermissionMissingError) as refusal:
        require(user_with(Role.INVESTOR), "trading.launch_cohort")
    assert "trading.launch_cohort" in refusal.value.message
    assert refusal.value.extra == {"permission": "trading.launch_cohort"}
    assert refusal.value.status == 403


def test_may_is_no_for_anonymous_closed_and_unknown() -> None:
    closed = user_with(Role.PORTFOLIO_MANAGER, is_active=False)
    assert not may(AnonymousUser(), "core.view_roles")
    assert not may(AnonymousUser(), SIGNED_IN)
    assert not may(closed, "trading.launch_cohort")
    assert not may(closed, SIGNED_IN)
    assert not may(user_with(Role.AUDITOR), "trading.no_such_permission")


def test_may_on_an_object_is_no_for_its_neighbour() -> None:
    owner, colleague, outsider = cast(Role.CLIENT_RELATIONS)
    assign_perm("core.change_user", outsider, colleague)
    assert may(outsider, "core.change_user", colleague)
    assert not may(outsider, "core.change_user", owner)
    assert not may(outsider, "core.change_user")


def test_for_user_all_by_role_some_by_object_none_otherwise() -> None:
    owner, colleague, outsider = cast(Role.CLIENT_RELATIONS)
    administrator = user_with(Role.ADMINISTRATOR)
    everybody = User.objects.order_by("pk")
    assert list(for_user(everybody, administrator, "core.change_user")) == list(everybody)
    assert list(for_user(everybody, outsider, "core.change_user")) == []
    assign_perm("core.change_user", outsider, colleague)
    assert list(for_user(everybody, outsider, "core.change_user")) == [colleague]
    assert list(for_user(everybody, owner, "core.change_user")) == []
    assert list(for_user(everybody, AnonymousUser(), "core.change_user")) == []


_CHANGING = (
    "launch",
    "cancel",
    "approve",
    "execute",
    "post",
    "close",
    "import",
    "override",
    "halt",
    "promote",
)


#: Asking for access is no approving of it: others sign, and the gate does it.
_ASKING = {"compliance.propose_request", "compliance.propose_access", "compliance.view_approvalrequest"}


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.AUDITOR])
def test_administrators_and_auditors_hold_nothing_that_trades_moves_or_approves(role: Role) -> None:
    for name in user_with(role).get_all_permissions():
        app, _, code = name.partition(".")
        verb = code.partition("_")[0]
        assert verb not in _CHANGING, name
        if role is Role.ADMINISTRATOR and name in _ASKING:
            continue
        if app in {"trading", "treasury", "risk", "compliance", "reporting"}:
            assert verb == "view", name
            assert role is Role.AUDITOR, name


def test_investors_hold_no_permission_of_the_whole_fund() -> None:
    assert user_with(Role.INVESTOR).get_all_permissions() == set()


def test_a_mixin_page_without_a_permission_answers_nobody(rf: Any) -> None:
    class Undeclared(PermissionRequiredMixin, View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("content")

    class Declared(Undeclared):
        permission = "core.view_roles"

    request = rf.get("/")
    request.user = user_with(Role.AUDITOR)
    with pytest.raises(ImproperlyConfigured):
        Undeclared.as_view()(request)
    assert Declared.as_view()(request).status_code == 200
    request.user = user_with(Role.INVESTOR)
    with pytest.raises(PermissionMissingError):
        Declared.as_view()(request)


def test_declared_permission_by_name_action_and_method() -> None:
    class Named(APIView):
        permission = "a.b"

    class Mapped(APIView):
        permission = {"GET": "a.read", "cancel": "a.cancel", "POST": "a.write"}

    assert declared_permission(Named(), "DELETE") == "a.b"
    mapped = Mapped()
    assert declared_permission(mapped, "HEAD") == "a.read"
    assert declared_permission(mapped, "POST") == "a.write"
    mapped.action = "cancel"  # type: ignore[attr-defined]
    assert declared_permission(mapped, "POST") == "a.cancel"
    with pytest.raises(ImproperlyConfigured):
        declared_permission(APIView(), "GET")


def test_an_api_view_that_declares_nothing_answers_nobody() -> None:
    class Silent(APIView):
        permission_classes = [DeclaredPermission]

        def get(self, request: Any) -> None:
            raise AssertionError("reached")

    request = APIRequestFactory().get("/api/x/")
    force_authenticate(request, user_with(Role.AUDITOR))
    with pytest.raises(ImproperlyConfigured):
        Silent.as_view()(request)


# --- The sweep: every address of the product --------------------------------------------------------
OPEN = {"healthz", "readyz", "metrics"}


def _patterns(node: Any, prefix: str = "") -> list[tuple[str, URLPattern]]:
    found: list[tuple[str, URLPattern]] = []
    for entry in node.url_patterns:
        if isinstance(entry, URLResolver):
            found += _patterns(entry, prefix + str(entry.pattern))
        else:
            found.append((prefix + str(entry.pattern), entry))
    return found


OURS = [
    (path, entry)
    for path, entry in _patterns(get_resolver())
    if not path.startswith(("admin/", "accounts/")) and entry.name not in OPEN
]


@pytest.mark.parametrize(("path", "entry"), OURS, ids=[path for path, _ in OURS])
def test_every_address_declares_its_permission(path: str, entry: URLPattern) -> None:
    view = entry.callback
    declared = (
        getattr(view, "permission", None)
        or getattr(getattr(view, "view_class", None), "permission", None)
        or getattr(getattr(view, "cls", None), "permission", None)
    )
    assert declared, f"{path} declares no permission"


def test_every_address_without_arguments_refuses_who_is_not_signed_in(client: Client) -> None:
    for path, _ in OURS:
        if "<" in path or "(" in path or path.endswith(".*"):
            continue
        answer = client.get("/" + path.replace("\\Z", "").replace("$", "").replace("^", ""))
        assert answer.status_code in {302, 401, 404}, path
        if answer.status_code == 302:
            assert answer["Location"].startswith("/accounts/login/"), path


def test_every_role_sees_the_roles_page_except_investors(client: Client) -> None:
    for role, person in everyone().items():
        client.force_login(person)
        expected = 403 if role is Role.INVESTOR else 200
        assert client.get("/roles/").status_code == expected, role


def test_refused_page_names_the_permission(client: Client) -> None:
    client.force_login(user_with(Role.INVESTOR))
    page = client.get("/roles/")
    assert page.status_code == 403
    assert "core.view_roles" in page.content.decode()


def test_the_administration_is_closed_to_everyone_else(client: Client) -> None:
    for role, person in everyone().items():
        client.force_login(person)
        for path in ("/admin/", "/admin/core/user/", "/admin/axes/accessattempt/"):
            status = client.get(path, follow=True).status_code
            assert status == (200 if role is Role.ADMINISTRATOR else 403), (role, path)
