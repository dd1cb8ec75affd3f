"""How much a Book may be levered: the rules in force, and every decision that was made by them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from risk.models.common import BookRowQuerySet
from risk.quant.leverage import HIGHEST_CAP, Rule


def leverage_field(**options: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=6, decimal_places=2, **options)


class LeveragePolicy(models.Model):
    """One version of the rules. Rows come only from an executed request; the highest version is in force."""

    append_only: ClassVar[bool] = True

    version = models.PositiveIntegerField(unique=True)
    document = models.JSONField(help_text="The rules, as risk.quant.leverage.LeverageRules reads them.")
    sha256 = models.CharField(max_length=64)
    request = models.OneToOneField(
        "compliance.ApprovalRequest",
        on_delete=models.PROTECT,
        related_name="leverage_policy_made",
        help_text="The approved request that made it.",
    )
    created_at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)
        ordering = ("-version",)
        permissions = [("set_leverage_policy", "Can propose a leverage policy")]
        constraints = [
            models.CheckConstraint(name="risk_leverage_policy_from_one", condition=Q(version__gte=1)),
        ]

    def __str__(self) -> str:
        return f"leverage policy {self.version}"


class LeverageDecision(models.Model):
    """One decision on one Book: what went in, which rule spoke, and what came of it. The last one is in force.

    Rows are numbered by Book and each begins where the last one ended; the database refuses one that the policy in
    force does not allow.
    """

    append_only: ClassVar[bool] = True

    book = models.ForeignKey("treasury.Book", on_delete=models.PROTECT, related_name="leverage_decisions")
    number = models.PositiveIntegerField(help_text="Counted by Book, from 1.")
    at = models.DateTimeField()
    policy = models.ForeignKey(LeveragePolicy, on_delete=models.PROTECT, related_name="decisions")
    rule = models.CharField(
        max_length=12,
        choices=[
            (Rule.START.value, "Start"),
            (Rule.STEP_UP.value, "Step up"),
            (Rule.STEP_DOWN.value, "Step down"),
            (Rule.CAP.value, "Down to the cap"),
            (Rule.HOLD.value, "Hold"),
            (Rule.BY_HAND.value, "Lowered by hand"),
        ],
    )
    from_leverage = leverage_field(null=True, help_text="Empty at the start.")
    to_leverage = leverage_field()
    changed = models.BooleanField(help_text="Whether the leverage is another one than before.")
    sample_size = models.PositiveIntegerField(help_text="Known returns that were judged.")
    sharpe = models.FloatField(null=True, help_text="Annualised; null where it is not known.")
    drawdown_frac = models.FloatField(null=True, help_text="The deepest of the window; null where not known.")
    through = models.DateTimeField(null=True, help_text="The end of the last whole observation.")
    reason = models.CharField(max_length=1000)
    inputs = models.JSONField(default=dict, help_text="The figures it rests on, the returns included.")
    conditions = models.JSONField(default=list, help_text="What a step up wants, each with where it stood.")
    triggers = models.JSONField(default=list, help_text="What lowers, each with where it stood.")
    answered = models.JSONField(default=dict, help_text="Rules that have lowered it, and since when they are spent.")
    actor = models.ForeignKey(
        "core.User", on_delete=models.PROTECT, null=True, related_name="+", help_text="Empty: the policy itself."
    )

    objects = BookRowQuerySet["LeverageDecision"].as_manager()

    class Meta:
        default_permissions = ("view",)
        ordering = ("-at", "-pk")
        permissions = [("lower_leverage", "Can lower a book's leverage at once")]
        indexes = [models.Index(name="risk_leverage_book_at", fields=["book", "-at"])]
        constraints = [
            models.UniqueConstraint(name="risk_leverage_one_a_number", fields=["book", "number"]),
            models.CheckConstraint(
                name="risk_leverage_within_all_caps", condition=Q(to_leverage__gt=0, to_leverage__lte=HIGHEST_CAP)
            ),
            models.CheckConstraint(name="risk_leverage_rule_known", condition=Q(rule__in=[r.value for r in Rule])),
            models.CheckConstraint(
                name="risk_leverage_start_comes_from_nothing",
                condition=Q(rule="start", from_leverage__isnull=True, number=1)
                | (~Q(rule="start") & Q(from_leverage__isnull=False, number__gt=1)),
            ),
        ]

    def __str__(self) -> str:
        return f"leverage decision {self.number} on book {self.book_id}"
