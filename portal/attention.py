"""What waits for a reader, by role: the first page lists it, the worst first.

A source answers for one reader and checks what that reader may see; a new one adds itself to SOURCES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from allauth.mfa.models import Authenticator
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import CharField, Count, Exists, OuterRef, Q
from django.db.models.functions import Cast, Coalesce
from django.urls import reverse

from compliance.models import AuditEvent
from fundops.core import clock
from fundops.core.mfa import FACTORS, has_second_factor
from fundops.core.models import User
from fundops.core.permissions import may
from fundops.core.roles import STAFF_ROLES, Role
from portal.gate.queue import waiting_count
from risk.models import BreachStatus, LimitBreach
from trading.models.cohort import LIVE_STATUSES, Cohort, CohortStatus
from trading.models.promotion import BEFORE_CAPITAL, PromotionReview, ReviewState

READ_REVIEWS = "trading.view_promotionreview"
RECENT = timedelta(days=7)
MOST = 5


@dataclass(frozen=True)
class Attention:
    """One thing that wants a person: ``tone`` is bad, warn or info."""

    title: str
    text: str
    href: str
    tone: str = "info"


Source = Callable[[User], list[Attention]]


def own_second_factor(user: User) -> list[Attention]:
    if has_second_factor(user):
        return []
    return [
        Attention(
            "Add a second factor to your account",
            "An authenticator app or a passkey. Outside the demo nothing else opens without one.",
            reverse("mfa_index"),
            "warn",
        )
    ]


def failed_cohorts(user: User) -> list[Attention]:
    """Cohorts of the last week that stopped by an error."""
    if not may(user, "trading.view_cohort"):
        return []
    failed = Cohort.objects.for_user(user).filter(status=CohortStatus.FAILED, launched_at__gte=clock.now() - RECENT)
    return [
        Attention(f"Cohort {cohort.name} failed", "See why, and launch it again.", cohort.get_absolute_url(), "bad")
        for cohort in failed.order_by("-launched_at")[:MOST]
    ]


def alerts_of_live_cohorts(user: User) -> list[Attention]:
    """Cohorts that trade now and have raised alerts."""
    if not may(user, "trading.view_cohort"):
        return []
    live = Cohort.objects.for_user(user).filter(status__in=LIVE_STATUSES).annotate(raised=Count("alerts"))
    return [
        Attention(
            f"{raised} alert{'s' if raised > 1 else ''} in {cohort.name}",
            "Drawdown, leverage or utilisation passed its limit while it trades.",
            cohort.get_absolute_url(),
            "warn",
        )
        for cohort, raised in [
            (cohort, int(cohort.raised))  # type: ignore[attr-defined] # annotated
            for cohort in live.filter(raised__gt=0).order_by("-raised", "-pk")[:MOST]
        ]
    ]


def people_without_second_factor(user: User) -> list[Attention]:
    if not user.has_role(Role.ADMINISTRATOR):
        return []
    held = Authenticator.objects.filter(user=OuterRef("pk"), type__in=FACTORS)
    staff = User.objects.filter(is_active=True, groups__name__in=[role.value for role in STAFF_ROLES]).distinct()
    count = staff.filter(~Exists(held)).count()
    if not count:
        return []
    people = "person works" if count == 1 else "people work"
    return [
        Attention(
            f"{count} {people} without a second factor",
            "They can enrol one at their next sign-in and do nothing before."
            if settings.SECOND_FACTOR_REQUIRED
            else "This installation does not require one.",
            reverse("admin:core_user_changelist"),
            "warn" if settings.SECOND_FACTOR_REQUIRED else "info",
        )
    ]


def locked_accounts(user: User) -> list[Attention]:
    if not user.has_role(Role.ADMINISTRATOR):
        return []
    locked = AccessAttempt.objects.filter(
        Q(failures_since_start__gte=settings.AXES_FAILURE_LIMIT),
        attempt_time__gte=clock.now() - settings.AXES_COOLOFF_TIME,
    )
    names = sorted(set(locked.exclude(username=None).values_list("username", flat=True)))
    if not names:
        return []
    return [
        Attention(
            f"Locked after failed sign-ins: {', '.join(names[:MOST])}",
            "A forgotten password, or someone who guesses.",
            reverse("admin:axes_accessattempt_changelist"),
            "warn",
        )
    ]


def requests_at_the_gate(user: User) -> list[Attention]:
    """Requests that wait for this person's signature, release or review."""
    count = waiting_count(user)
    if not count:
        return []
    words = "A request waits" if count == 1 else f"{count} requests wait"
    return [Attention(f"{words} for you", "To sign, to release or to review.", reverse("portal:approvals"), "warn")]


def live_breaches(user: User) -> list[Attention]:
    """Limits that are passed now and that nobody has said anything about; hard ones count first."""
    if not may(user, "risk.view_limitbreach"):
        return []
    counted = dict(
        LimitBreach.objects.for_user(user)
        .filter(status=BreachStatus.OPEN)
        .order_by()
        .values_list("level")
        .annotate(n=Count("pk"))
    )
    hard, soft = counted.get("hard", 0), counted.get("soft", 0)
    if not hard and not soft:
        return []
    words = f"{hard} hard and {soft} soft" if hard and soft else f"{hard or soft} {'hard' if hard else 'soft'}"
    several = "es" if hard + soft > 1 else ""
    return [
        Attention(
            f"{words} limit breach{several} open",
            "Nobody has said yet what is done about it.",
            reverse("portal:risk") + "#breaches",
            "bad" if hard else "warn",
        )
    ]


def reviews(user: User) -> list[Attention]:
    """Reviews that something or somebody keeps from going on, and candidates that were rolled back: not settled yet,
    without a completed post-mortem, or lately."""
    if not may(user, READ_REVIEWS):
        return []
    lately = clock.now() - RECENT
    completed = AuditEvent.objects.filter(
        kind="trading.review.post_mortem_written",
        object_type="trading.promotionreview",
        object_id=Cast(OuterRef("pk"), CharField()),
    )
    back = Q(state=ReviewState.ROLLED_BACK) & (Q(settled_at=None) | Q(completed=False) | Q(ended_at__gte=lately))
    waits = Q(state__in=BEFORE_CAPITAL) & ~Q(waits_for="")
    found = (
        PromotionReview.objects.for_user(user)
        .annotate(completed=Exists(completed))
        .filter(back | waits)
        .select_related("cohort")
        .defer("evidence", "verdict", "meters", "post_mortem")
        .order_by(Coalesce("ended_at", "compiled_at").desc())[:MOST]
    )
    return [
        _rollback(review, lately=lately)
        if review.state == ReviewState.ROLLED_BACK
        else Attention(f"The review of {review.cohort} waits", review.waits_for, review.get_absolute_url(), "warn")
        for review in found
    ]


def _rollback(review: PromotionReview, *, lately: datetime) -> Attention:
    name, href = review.cohort, review.get_absolute_url()
    if review.settled_at is None:
        said = f"{review.end_words} Its desk is not flat yet, or its bankroll is not back."
        return Attention(f"The rollback of {name}'s candidate is not settled", said, href, "bad")
    new = review.ended_at is not None and review.ended_at >= lately
    if not review.completed:  # type: ignore[attr-defined] # annotated
        return Attention(
            f"{name}'s candidate was rolled back; its post-mortem is still a draft",
            review.end_words,
            f"{href}#post-mortem",
            "bad" if new else "warn",
        )
    return Attention(f"{name}'s candidate was rolled back", review.end_words, href)


SOURCES: tuple[Source, ...] = (
    own_second_factor,
    requests_at_the_gate,
    reviews,
    live_breaches,
    failed_cohorts,
    alerts_of_live_cohorts,
    people_without_second_factor,
    locked_accounts,
)


def attention_for(user: User) -> list[Attention]:
    """Everything that waits for ``user``, the worst first."""
    found = [item for source in SOURCES for item in source(user)]
    return sorted(found, key=lambda item: {"bad": 0, "warn": 1}.get(item.tone, 2))
