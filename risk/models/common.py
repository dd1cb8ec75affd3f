"""What the risk tables share: who may read a row, and periods that must not overlap."""

from __future__ import annotations

from typing import Any, Self, TypeVar

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import Func, Q

from fundops.core.permissions import AnyUser, may
from treasury.models import Book

M = TypeVar("M", bound=models.Model)

#: numeric(38, 18) holds less than this; NaN is not below it either.
LARGEST = 10**20


def decimal_level(help_text: str) -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=38, decimal_places=18, null=True, blank=True, help_text=help_text)


class BookRowQuerySet(models.QuerySet[M]):
    """Rows that belong to a Book: all of them by role, else those of the Books a person may see."""

    def for_user(self, user: AnyUser) -> Self:
        if may(user, f"risk.view_{self.model._meta.model_name}"):
            return self
        if not user.is_authenticated or not user.is_active or user.has_perm("treasury.view_book"):
            # Seeing every Book is no right to see its risk.
            return self.none()
        return self.filter(book__in=Book.objects.for_user(user))


class Period(Func):
    function = "TSTZRANGE"
    output_field = DateTimeRangeField()


def no_overlap(name: str, *same: str) -> ExclusionConstraint:
    """No two rows with equal `same` columns are in force at the same instant; empty periods never are."""
    return ExclusionConstraint(
        name=name,
        expressions=[
            (Period("effective_from", "effective_to", RangeBoundary()), RangeOperators.OVERLAPS),
            *((column, RangeOperators.EQUAL) for column in same),
        ],
    )


def period_ordered(name: str) -> models.CheckConstraint:
    return models.CheckConstraint(
        name=name,
        condition=Q(effective_to__isnull=True) | Q(effective_to__gte=models.F("effective_from")),
    )
