"""How much capital, and how much of the risk, a Book may carry."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from risk.models.common import LARGEST, BookRowQuerySet, no_overlap, period_ordered


class CapitalBudget(models.Model):
    """A Book's capital in the fund's base asset, and its share of the parent's risk, in one period."""

    book = models.ForeignKey("treasury.Book", on_delete=models.PROTECT, related_name="capital_budgets")
    capital = models.DecimalField(max_digits=38, decimal_places=18)
    risk_share_frac = models.FloatField(null=True, blank=True, help_text="Of the parent's ES; empty: no budget.")
    effective_from = models.DateTimeField()
    effective_to = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=240, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    history = HistoricalRecords()
    objects = BookRowQuerySet["CapitalBudget"].as_manager()

    class Meta:
        ordering = ("book__path", "-effective_from")
        permissions = [("set_budget", "Can set capital budgets")]
        constraints = [
            models.CheckConstraint(
                name="risk_budget_capital_is_a_number", condition=Q(capital__gte=0, capital__lt=LARGEST)
            ),
            models.CheckConstraint(
                name="risk_budget_share_is_a_share",
                condition=Q(risk_share_frac__isnull=True) | Q(risk_share_frac__gte=0, risk_share_frac__lte=1),
            ),
            period_ordered("risk_budget_period_ordered"),
            no_overlap("risk_budget_no_overlap", "book"),
        ]

    def __str__(self) -> str:
        return f"budget {self.pk} of book {self.book_id}"
