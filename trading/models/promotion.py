"""The Day-3 review of a cohort: its evidence, the gate's verdict, who decided what, and what became of it."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from simple_history.models import HistoricalRecords

from fundops.core import clock
from fundops.core.permissions import AnyUser, for_user


class GatePolicyVersion(models.Model):
    """A version of the rules of the Day-3 gate and of the watch over what passed it; the highest is in force."""

    append_only: ClassVar[bool] = True

    version = models.PositiveIntegerField(unique=True)
    document = models.JSONField()
    request = models.OneToOneField("compliance.ApprovalRequest", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        default_permissions = ("view",)
        permissions = [("propose_gate_policy", "Can ask for other rules of the Day-3 gate")]

    def __str__(self) -> str:
        return f"gate policy {self.version}"


class ReviewState(models.TextChoices):
    COMPILED = "compiled", "Compiled"
    SCREENED = "screened", "Screened"
    AWAITING_APPROVAL = "awaiting_approval", "Awaiting approval"
    APPROVED = "approved", "Approved"
    DEPLOYED = "deployed", "Deployed"
    MONITORING = "monitoring", "Monitoring"
    GRADUATED = "graduated", "Graduated"
    ROLLED_BACK = "rolled_back", "Rolled back"
    REJECTED = "rejected", "Rejected"
    EXPIRED = "expired", "Expired"


BEFORE_CAPITAL = (
    ReviewState.COMPILED,
    ReviewState.SCREENED,
    ReviewState.AWAITING_APPROVAL,
    ReviewState.APPROVED,
)
#: On the timer. A graduated candidate is off it and still watched by what protects (`is_watched`).
WATCHED = (ReviewState.DEPLOYED, ReviewState.MONITORING)


class PromotionReviewQuerySet(models.QuerySet["PromotionReview"]):
    def watched(self) -> PromotionReviewQuerySet:
        """Those whose deployment is watched: on the timer, or graduated and not ended."""
        return self.filter(Q(state__in=WATCHED) | Q(state=ReviewState.GRADUATED, settled_at=None))

    def for_user(self, user: AnyUser) -> PromotionReviewQuerySet:
        """The reviews ``user`` may read: all by role, or those granted one by one."""
        return for_user(self, user, "trading.view_promotionreview")  # type: ignore[return-value]


class PromotionReview(models.Model):
    """One cohort's candidate on its way to capital and back."""

    cohort = models.OneToOneField("trading.Cohort", on_delete=models.PROTECT, related_name="review")
    agent = models.ForeignKey(
        "trading.CohortAgent",
        on_delete=models.PROTECT,
        null=True,
        related_name="reviews",
        help_text="The candidate; none when every agent was excluded.",
    )
    state = models.CharField(max_length=20, choices=ReviewState, default=ReviewState.COMPILED)
    policy_version = models.PositiveIntegerField(help_text="0: the rules as shipped.")
    evidence = models.JSONField()
    evidence_sha256 = models.CharField(max_length=64)
    verdict = models.JSONField()
    passed = models.BooleanField(help_text="What the gate said; people may have said otherwise.")
    compiled_at = models.DateTimeField(default=clock.now)

    overridden_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    override_reason = models.CharField(max_length=1000, blank=True, default="")
    request = models.ForeignKey(
        "compliance.ApprovalRequest", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    waits_for = models.CharField(max_length=400, blank=True, default="", help_text="What keeps it from going on.")
    deployment = models.OneToOneField(
        "trading.Deployment", on_delete=models.PROTECT, null=True, blank=True, related_name="review"
    )
    watch_until_ms = models.BigIntegerField(null=True, blank=True, help_text="End of the watch, in market time.")
    meters = models.JSONField(default=list, help_text="The rollback meters as last read.")
    metered_at = models.DateTimeField(null=True, blank=True)
    watched_since = models.DateTimeField(
        null=True, blank=True, help_text="Since when it is watched without a gap; silence before it is nobody's."
    )
    end_cause = models.CharField(max_length=40, blank=True, default="")
    end_words = models.CharField(max_length=1000, blank=True, default="")
    ended_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True, help_text="Flat, and the bankroll is back.")
    post_mortem = models.TextField(blank=True, default="", help_text="Markdown; a draft that people complete.")

    history = HistoricalRecords(excluded_fields=["evidence", "meters", "metered_at", "watched_since"])
    objects = PromotionReviewQuerySet.as_manager()

    class Meta:
        ordering = ("-compiled_at", "-pk")
        permissions = [
            ("promote", "Can ask for a candidate's promotion"),
            ("override_review", "Can send a candidate on that the gate refused"),
            ("roll_back", "Can roll a promotion back"),
            ("write_post_mortem", "Can complete a post-mortem"),
        ]
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(name="review_state_known", condition=Q(state__in=[s.value for s in ReviewState])),
            models.CheckConstraint(
                name="review_deployed_has_deployment",
                condition=~Q(state__in=["deployed", "monitoring", "graduated", "rolled_back"])
                | Q(deployment__isnull=False),
            ),
            models.CheckConstraint(
                name="review_override_has_reason", condition=Q(overridden_by=None) | ~Q(override_reason="")
            ),
        ]
        indexes = [models.Index(fields=["state"])]

    def __str__(self) -> str:
        return f"Review of {self.cohort}"

    def get_absolute_url(self) -> str:
        return reverse("portal:review", args=[self.pk])

    @property
    def is_watched(self) -> bool:
        """Whether its deployment's rollback meters are read, and it may still be rolled back."""
        return self.state in WATCHED or (self.state == ReviewState.GRADUATED and self.settled_at is None)

    @property
    def topic(self) -> str:
        """The live topic that carries this review's news."""
        return f"review:{self.pk}"


class ReviewStep(models.Model):
    """One step of a review: when, from where to where, by whom, and why."""

    append_only: ClassVar[bool] = True

    review = models.ForeignKey(PromotionReview, on_delete=models.PROTECT, related_name="steps")
    at = models.DateTimeField(default=clock.now)
    before = models.CharField(max_length=20, blank=True)
    after = models.CharField(max_length=20, choices=ReviewState)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    words = models.CharField(max_length=1000)

    class Meta:
        ordering = ("pk",)
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.before} to {self.after}"


class LiveRecord(models.Model):
    """What a genome did with real orders by the end of its experiment: what its weight elsewhere follows. One that
    graduated and was rolled back later has both."""

    append_only: ClassVar[bool] = True

    deployment = models.ForeignKey("trading.Deployment", on_delete=models.PROTECT, related_name="records")
    genome_hash = models.CharField(max_length=64, db_index=True)
    family = models.CharField(max_length=64, db_index=True)
    outcome = models.CharField(max_length=20)
    cause = models.CharField(max_length=40, blank=True)
    bankroll = models.DecimalField(max_digits=20, decimal_places=2)
    profit = models.DecimalField(max_digits=38, decimal_places=18)
    roi_frac = models.FloatField()
    max_drawdown_frac = models.FloatField()
    fills = models.PositiveIntegerField()
    hours = models.PositiveIntegerField()
    mean_hourly = models.FloatField(null=True)
    sd_hourly = models.FloatField(null=True)
    weight = models.FloatField(help_text="What this result leaves of a genome's weight: 1 is all.")
    at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ("-at", "-pk")
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(name="live_record_weight", condition=Q(weight__gte=0, weight__lte=1)),
            models.UniqueConstraint(name="live_record_once", fields=["deployment", "outcome"]),
        ]

    def __str__(self) -> str:
        return f"record of {self.deployment}"
