"""The first page: for staff what needs their attention, for an investor a plain place of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from fundops.core.mfa import has_second_factor
from fundops.core.models import User
from fundops.core.permissions import SIGNED_IN, permission_required


@dataclass(frozen=True)
class Attention:
    """One thing that wants a person: ``tone`` is bad, warn or info."""

    title: str
    text: str
    href: str
    tone: str = "info"


Source = Callable[[User], list[Attention]]


def account_security(user: User) -> list[Attention]:
    """A missing second factor; recovery codes are part of its page."""
    if not user.is_fund_staff or has_second_factor(user):
        return []
    return [
        Attention(
            "Add a second factor to your account",
            "An authenticator app or a passkey. Outside the demo nothing else opens without one.",
            reverse("mfa_index"),
            "warn",
        )
    ]


#: What may ask for attention. Each source answers for one reader and checks what that reader may see.
ATTENTION: tuple[Source, ...] = (account_security,)


def attention_for(user: User) -> list[Attention]:
    """Everything that waits for ``user``, the worst first."""
    found = [item for source in ATTENTION for item in source(user)]
    return sorted(found, key=lambda item: {"bad": 0, "warn": 1}.get(item.tone, 2))


@permission_required(SIGNED_IN)
def home(request: HttpRequest) -> HttpResponse:
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - the decorator lets nobody else in
    if not user.is_fund_staff:
        return render(request, "portal/home_investor.html", {"crumbs": [("Home", "")]})
    context = {"attention": attention_for(user), "crumbs": [("Home", "")]}
    return render(request, "portal/home.html", context)
