"""The account a person signs in with."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from simple_history.models import HistoricalRecords

from fundops.core.roles import STAFF_ROLES, Role


class User(AbstractUser):
    """An account; what it may do comes from its roles (groups) and its object permissions, never from flags."""

    email = models.EmailField("email address", unique=True)
    display_name = models.CharField(max_length=120, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="IANA zone used for hovering times.")

    history = HistoricalRecords(excluded_fields=["password", "last_login"])

    class Meta(AbstractUser.Meta):  # type: ignore[name-defined,misc]
        ordering = ("username",)

    def __str__(self) -> str:
        return self.display_name or self.username

    @property
    def roles(self) -> frozenset[Role]:
        """The roles held, by group membership."""
        known = set(Role)
        return frozenset(Role(name) for name in self.groups.values_list("name", flat=True) if name in known)

    def has_role(self, *roles: Role) -> bool:
        return bool(self.roles & set(roles))

    @property
    def is_fund_staff(self) -> bool:
        """True for everyone who works for the fund: a second factor is asked of them."""
        return self.is_superuser or bool(self.roles & STAFF_ROLES)
