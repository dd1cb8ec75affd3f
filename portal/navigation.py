"""The navigation: what is in it, and who sees it. A new page adds its line here and nowhere else.

An entry is shown to those who may open its page; the page itself checks again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from compliance.selectors_approvals import VIEW_REQUESTS
from compliance.topics import VIEW_EVENTS
from fundops.core.models import User
from fundops.core.permissions import may
from fundops.core.roles import Role
from portal.banners import banners_for
from portal.gate.queue import waiting_count
from trading.selectors.cohort import has_granted_cohorts
from treasury.selectors import has_granted_books

Audience = Callable[[User], bool]


def everyone(user: User) -> bool:
    return True


def fund_staff(user: User) -> bool:
    return user.is_fund_staff


def holding(permission: str) -> Audience:
    """Those whose roles grant ``permission``."""
    return lambda user: may(user, permission)


def reading(permission: str, by_object: Audience) -> Audience:
    """Those whose roles grant ``permission``, and those to whom single objects were granted."""
    return lambda user: may(user, permission) or by_object(user)


def in_role(*roles: Role) -> Audience:
    return lambda user: user.has_role(*roles)


@dataclass(frozen=True)
class Entry:
    """``starts`` are further path beginnings that belong to this entry (its detail pages)."""

    label: str
    url_name: str
    icon: str
    audience: Audience
    starts: tuple[str, ...] = ()
    #: How much waits there for the reader, shown beside the label.
    badge: Callable[[User], int] | None = None


@dataclass(frozen=True)
class Section:
    title: str
    entries: tuple[Entry, ...]


NAVIGATION: tuple[Section, ...] = (
    Section(
        "",
        (
            Entry("Home", "portal:home", "home", everyone),
            Entry("Assistant", "portal:assistant", "message-chatbot", holding("portal.use_assistant")),
            Entry("Knowledge", "portal:knowledge", "brain", holding("portal.view_knowledge")),
        ),
    ),
    Section(
        "Trading",
        (
            Entry("Cohorts", "portal:cohorts", "robot", reading("trading.view_cohort", has_granted_cohorts)),
            Entry("Deployments", "portal:deployments", "rocket", holding("trading.view_deployment")),
            Entry("Reviews", "portal:reviews", "rocket", holding("trading.view_promotionreview")),
            Entry("Strategies", "portal:strategies", "bolt", holding("trading.view_cohort")),
            Entry("Market data", "portal:candles", "chart-candle", holding("trading.view_candleset")),
        ),
    ),
    Section(
        "Risk",
        (
            Entry("Overview", "portal:risk", "gauge", holding("risk.view_risklimit")),
            Entry("Limits", "portal:risk-limits", "adjustments", holding("risk.view_risklimit")),
            Entry("Stress", "portal:risk-stress", "flame", holding("risk.view_stressresult")),
            Entry("Allocation", "portal:risk-allocation", "coins", holding("risk.view_capitalbudget")),
            Entry("Guardrails", "portal:guardrails", "hand-stop", holding("risk.view_killswitch")),
            Entry("Leverage", "portal:leverage", "ladder", holding("risk.view_leveragedecision")),
            Entry("Overrides", "portal:overrides", "shield-exclamation", holding("risk.view_guardrailoverride")),
        ),
    ),
    Section(
        "Books",
        (Entry("Ledger", "portal:books", "books", reading("treasury.view_journalline", has_granted_books)),),
    ),
    Section(
        "Control",
        (
            Entry("Approvals", "portal:approvals", "checklist", holding(VIEW_REQUESTS), badge=waiting_count),
            Entry("Audit", "portal:audit", "timeline", holding(VIEW_EVENTS)),
            Entry("Screening", "portal:screening", "ban", holding("compliance.view_restrictedinstrument")),
            Entry("Roles", "portal:roles", "shield-lock", fund_staff),
        ),
    ),
    Section(
        "System",
        (
            Entry("API", "api-docs", "plug", fund_staff),
            Entry("Administration", "admin:index", "settings", in_role(Role.ADMINISTRATOR)),
        ),
    ),
)


@dataclass(frozen=True)
class Link:
    """An entry as one reader sees it on one page."""

    label: str
    href: str
    icon: str
    current: bool
    badge: int | None = None


@dataclass(frozen=True)
class Group:
    title: str
    links: tuple[Link, ...]


def navigation_for(user: User, path: str) -> tuple[Group, ...]:
    """The sections ``user`` sees, without empty ones; the entry nearest to ``path`` is marked as current."""
    shown = {section: [entry for entry in section.entries if entry.audience(user)] for section in NAVIGATION}
    nearest = max((_fit(entry, path) for entries in shown.values() for entry in entries), default=0)
    groups = []
    for section, entries in shown.items():
        links = tuple(
            Link(
                e.label,
                reverse(e.url_name),
                e.icon,
                current=0 < nearest == _fit(e, path),
                badge=e.badge(user) if e.badge else None,
            )
            for e in entries
        )
        if links:
            groups.append(Group(section.title, links))
    return tuple(groups)


def _fit(entry: Entry, path: str) -> int:
    """How much of ``path`` the entry's address covers; zero where it leads elsewhere. Home is itself alone."""
    addresses = (reverse(entry.url_name), *entry.starts)
    return max((len(a) for a in addresses if path == a or (a != "/" and path.startswith(a))), default=0)


def shell(request: HttpRequest) -> dict[str, object]:
    """Context processor: what the shell shows of its reader. Lazy: fragments pay nothing for it."""
    user = getattr(request, "user", None)
    context: dict[str, object] = {"environment": settings.ENV.fundops_env}
    if isinstance(user, User):
        context["banners"] = SimpleLazyObject(lambda: banners_for(user))
        context["navigation"] = SimpleLazyObject(lambda: navigation_for(user, request.path))
        context["may_ask"] = SimpleLazyObject(lambda: may(user, "portal.use_assistant"))
        context["role_names"] = SimpleLazyObject(lambda: sorted(role.value for role in user.roles))
    return context
