"""How allauth behaves here: accounts are made by administrators, and failed sign-ins are counted by axes."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Closed sign-up, one place that counts failures."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """No count here: axes locks accounts after failures, and the sign-in page is limited by address."""

    def is_safe_url(self, url: str | None) -> bool:
        """Only paths of this site: a ``next`` with a host is ignored, ours included."""
        return bool(url) and str(url).startswith("/") and bool(super().is_safe_url(url))
