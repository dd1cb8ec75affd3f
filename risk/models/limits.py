"""Limits on Books and the breaches of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords

from risk.models.common import LARGEST, BookRowQuerySet, decimal_level, no_overlap, period_ordered
from risk.quant.metrics import HIGHER_IS_TIGHTER, SYMBOL_SCOPED, VENUE_SCOPED, Metric, describe
from risk.quant.pretrade import Limit


def _values(metrics: Collection[Metric]) -> list[str]:
    return sorted(m.value for m in metrics)


METRIC_CHOICES = [(metric.value, describe(metric)) for metric in Metric]


class HardAction(models.TextChoices):
    """What a hard breach does. Orders are cut or denied before they breach in any case."""

    ALERT = "alert", "Alert"
    REDUCE = "reduce", "Reduce: only closing orders"
    HALT = "halt", "Halt: no orders"
    FLATTEN = "flatten", "Flatten: close all positions"


class RiskLimitQuerySet(BookRowQuerySet["RiskLimit"]):
    def in_force(self, at: datetime) -> RiskLimitQuerySet:
        return self.filter(Q(effective_to=None) | Q(effective_to__gt=at), effective_from__lte=at)


class RiskLimit(models.Model):
    """One metric of one Book (and all Books below it) in one period, with a soft and a hard level.

    Levels are never edited: a change ends this row and begins another, so that what was in force when is a
    fact.
    """

    book = models.ForeignKey("treasury.Book", on_delete=models.PROTECT, related_name="risk_limits")
    metric = models.CharField(max_length=32, choices=METRIC_CHOICES)
    soft = decimal_level("Passing it warns.")
    hard = decimal_level("Passing it is refused before the trade, and acted upon after it.")
    symbol = models.CharField(max_length=40, blank=True, help_text="Only this symbol; empty for all.")
    venue = models.CharField(max_length=40, blank=True, help_text="Only this venue; empty for all.")
    action = models.CharField(max_length=8, choices=HardAction, default=HardAction.ALERT)
    effective_from = models.DateTimeField()
    effective_to = models.DateTimeField(null=True, blank=True, help_text="Empty while it is in force.")
    template = models.CharField(max_length=40, blank=True, help_text="The template set it came from.")
    reason = models.CharField(max_length=240, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    history = HistoricalRecords()
    objects = RiskLimitQuerySet.as_manager()

    class Meta:
        ordering = ("book__path", "metric", "symbol", "venue", "-effective_from")
        permissions = [("set_limit", "Can set and retire risk limits")]
        constraints = [
            models.CheckConstraint(name="risk_limit_metric_known", condition=Q(metric__in=[m.value for m in Metric])),
            models.CheckConstraint(
                name="risk_limit_action_known", condition=Q(action__in=[a.value for a in HardAction])
            ),
            models.CheckConstraint(
                name="risk_limit_has_level", condition=Q(soft__isnull=False) | Q(hard__isnull=False)
            ),
            models.CheckConstraint(
                name="risk_limit_levels_are_numbers",
                condition=(Q(soft__isnull=True) | Q(soft__gte=0, soft__lt=LARGEST))
                & (Q(hard__isnull=True) | Q(hard__gte=0, hard__lt=LARGEST)),
            ),
            models.CheckConstraint(
                name="risk_limit_soft_before_hard",
                condition=Q(soft__isnull=True)
                | Q(hard__isnull=True)
                | (Q(metric__in=_values(HIGHER_IS_TIGHTER)) & Q(soft__gte=F("hard")))
                | (~Q(metric__in=_values(HIGHER_IS_TIGHTER)) & Q(soft__lte=F("hard"))),
            ),
            models.CheckConstraint(
                name="risk_limit_scope_fits",
                condition=(Q(symbol="") | Q(metric__in=_values(SYMBOL_SCOPED)))
                & (Q(venue="") | Q(metric__in=_values(VENUE_SCOPED))),
            ),
            period_ordered("risk_limit_period_ordered"),
            no_overlap("risk_limit_no_overlap", "book", "metric", "symbol", "venue"),
        ]

    def __str__(self) -> str:
        return f"{self.get_metric_display()} limit {self.pk}"

    def as_limit(self) -> Limit:
        """This row for the pre-trade check."""
        return Limit(
            metric=Metric(self.metric),
            hard=None if self.hard is None else float(self.hard),
            soft=None if self.soft is None else float(self.soft),
            symbol=self.symbol,
            venue=self.venue,
            name=f"limit {self.pk}",
        )


class BreachStatus(models.TextChoices):
    OPEN = "open", "Open"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    CLOSED = "closed", "Closed"


class BreachLevel(models.TextChoices):
    SOFT = "soft", "Soft"
    HARD = "hard", "Hard"


class LimitBreachQuerySet(BookRowQuerySet["LimitBreach"]):
    def mark_seen(self, breaches: Sequence[LimitBreach], at: datetime) -> None:
        """Writes what an evaluation saw, in one statement and without history: it happens at every beat."""
        if not breaches:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE risk_limitbreach AS b"
                " SET last_seen_at = %s, last_value = v.last, worst_value = v.worst"
                " FROM unnest(%s::bigint[], %s::float8[], %s::float8[]) AS v (id, last, worst)"
                " WHERE b.id = v.id",
                [
                    at,
                    [b.pk for b in breaches],
                    [b.last_value for b in breaches],
                    [b.worst_value for b in breaches],
                ],
            )


class LimitBreach(models.Model):
    """One stretch of time in which a metric of a Book was past its limit, from its opening to its closing."""

    limit = models.ForeignKey(
        RiskLimit,
        on_delete=models.PROTECT,
        related_name="breaches",
        help_text="The limit that speaks now: of those that bind the Book, the tightest at this level.",
    )
    book = models.ForeignKey(
        "treasury.Book",
        on_delete=models.PROTECT,
        related_name="limit_breaches",
        help_text="The Book that is past it: the limit's own, or one below it.",
    )
    metric = models.CharField(max_length=32, choices=METRIC_CHOICES)
    symbol = models.CharField(max_length=40, blank=True)
    venue = models.CharField(max_length=40, blank=True)
    level = models.CharField(max_length=4, choices=BreachLevel)
    actions = ArrayField(
        models.CharField(max_length=8, choices=HardAction),
        default=list,
        blank=True,
        help_text="What the hard limits passed ask for, own and inherited; none while it is soft.",
    )
    status = models.CharField(max_length=12, choices=BreachStatus, default=BreachStatus.OPEN)
    opened_at = models.DateTimeField()
    escalated_at = models.DateTimeField(null=True, blank=True, help_text="When it passed the hard level.")
    last_seen_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    first_value = models.FloatField(
        null=True, help_text="In the unit of the metric; null where no equity is left to divide by."
    )
    worst_value = models.FloatField(null=True)
    last_value = models.FloatField(null=True)
    acknowledged_by = models.ForeignKey(
        "core.User", on_delete=models.PROTECT, null=True, blank=True, related_name="acknowledged_breaches"
    )
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=400, blank=True)

    history = HistoricalRecords()
    objects = LimitBreachQuerySet.as_manager()

    class Meta:
        ordering = ("-opened_at", "-pk")
        permissions = [("acknowledge_breach", "Can acknowledge limit breaches")]
        constraints = [
            models.UniqueConstraint(
                name="risk_breach_one_open",
                fields=["limit", "book"],
                condition=~Q(status=BreachStatus.CLOSED),
            ),
            models.CheckConstraint(
                name="risk_breach_closed_has_end",
                condition=Q(status=BreachStatus.CLOSED, closed_at__isnull=False)
                | (~Q(status=BreachStatus.CLOSED) & Q(closed_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="risk_breach_acknowledged_by_someone",
                condition=~Q(status=BreachStatus.ACKNOWLEDGED) | Q(acknowledged_by__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"breach {self.pk} of limit {self.limit_id}"
