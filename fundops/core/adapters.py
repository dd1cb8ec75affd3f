"""How allauth behaves here: accounts are made by administrators, and failed sign-ins are counted by axes."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from django.http import HttpRequest

from fundops.core.models import User
from fundops.core.security_events import record_sign_in, record_sign_out


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Closed sign-up, one place that counts failures."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """No count here: axes locks accounts after failures, and the sign-in page is limited by address."""

    def login(self, request: HttpRequest, user: User) -> None:
        super().login(request, user)
        proofs = get_authentication_records(request, user)
        record_sign_in(user=user, methods=[str(proof["method"]) for proof in proofs])

    def logout(self, request: HttpRequest) -> None:
        user = request.user
        super().logout(request)
        if isinstance(user, User):
            record_sign_out(user=user)

    def is_safe_url(self, url: str | None) -> bool:
        """Only paths of this site: a ``next`` with a host is ignored, ours included."""
        return bool(url) and str(url).startswith("/") and bool(super().is_safe_url(url))
