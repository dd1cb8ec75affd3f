"""The administration: for administrators alone, entered by the ordinary sign-in with its second factor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.decorators import csp_replace
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import resolve_url
from unfold.sites import UnfoldAdminSite

from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.roles import Role


class NotAnAdministratorError(FundopsError):
    status = 403
    title = "Not an administrator"


class FundopsAdminSite(UnfoldAdminSite):  # type: ignore[misc]
    """No sign-in page of its own, and no flag that opens it."""

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return isinstance(user, User) and user.is_active and user.has_role(Role.ADMINISTRATOR)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        if request.user.is_authenticated:
            raise NotAnAdministratorError(
                "The administration is open to administrators only; sign in with such an account."
            )
        return redirect_to_login(request.GET.get("next") or "/admin/", resolve_url("account_login"))

    def admin_view(
        self,
        view: Callable[..., HttpResponseBase],
        cacheable: bool = False,  # noqa: FBT001, FBT002 - Django's own
    ) -> Callable[..., HttpResponseBase]:
        """The theme evaluates expressions and writes style attributes: allowed here, and nowhere else."""
        relaxed = csp_replace({"script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]})
        guarded: Callable[..., HttpResponseBase] = relaxed(super().admin_view(view, cacheable))
        return guarded
