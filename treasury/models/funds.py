"""The fund: the legal whole whose value the books add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import AnonymousUser
from django.core.validators import RegexValidator
from django.db import models
from guardian.shortcuts import get_objects_for_user
from simple_history.models import HistoricalRecords

from treasury.models.assets import Asset

if TYPE_CHECKING:
    from fundops.core.models import User

CODE_VALIDATOR = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z", "Use letters, digits and . _ - (they become parts of a path)."
)


class FundQuerySet(models.QuerySet["Fund"]):
    def for_user(self, user: User | AnonymousUser) -> FundQuerySet:
        """The funds this user may see: all by role, or those granted one by one."""
        if not user.is_authenticated:
            return self.none()
        if user.has_perm("treasury.view_fund"):
            return self
        return self.granted_to(user)

    def granted_to(self, user: User | AnonymousUser) -> FundQuerySet:
        """The funds granted to this user one by one, whatever their roles let them see."""
        if not user.is_authenticated:
            return self.none()
        granted = get_objects_for_user(user, "treasury.view_fund", Fund, accept_global_perms=False)
        return self.filter(pk__in=granted.values("pk"))


class Fund(models.Model):
    """One fund; its root book carries the same code."""

    code = models.CharField(max_length=40, unique=True, validators=[CODE_VALIDATOR])
    name = models.CharField(max_length=120)
    base_asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="funds")
    opened_on = models.DateField(help_text="First value date the books accept.")

    history = HistoricalRecords()
    objects = FundQuerySet.as_manager()

    class Meta:
        ordering = ("code",)

    def __str__(self) -> str:
        return self.code
